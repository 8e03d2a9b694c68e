import { parse } from 'yaml'
import { openApiYaml } from '../app.ts'
import { readConfig } from '../config.ts'
import { Egress } from '../egress/egress.ts'
import { ConfigError } from '../errors.ts'
import { loadKinds } from '../jobs/custom.ts'
import { builtInKinds } from '../jobs/index.ts'
import { fetchLimits } from '../machinery.ts'
import { type Command, packageJson } from './io.ts'
import { parsed } from './options.ts'
import { Output } from './run/output.ts'

const HELP = `gatherd openapi: print the OpenAPI 3.1 document of the service with these settings, as YAML.

  --json   as JSON
  --help
`

/** Print the OpenAPI document; nothing listens and nothing is opened. */
export const openapi: Command = async (io) => {
  const given = parsed(io, HELP, { json: { type: 'boolean', default: false } })
  if (given === null) return 0
  if (given.positionals.length > 0)
    throw new ConfigError(`gatherd openapi takes no "${given.positionals[0]}".\n\n${HELP}`)
  const config = readConfig(io.env)
  const custom = config.kinds === undefined ? [] : await loadKinds(config.kinds, '.')
  const kinds = [...builtInKinds({ egress: new Egress(), limits: fetchLimits(config) }), ...custom]
  const yaml = await openApiYaml({ config, kinds, version: packageJson.version })
  using output = new Output({ stdout: io.stdout, screen: null, onBroken: async () => undefined })
  await output.write(given.values.json ? JSON.stringify(parse(yaml), null, 2) : yaml.trimEnd())
  return output.status ?? 0
}
