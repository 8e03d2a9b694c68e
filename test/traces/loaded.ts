import { registerHooks } from 'node:module'

/** Preloaded into a process: names on standard error each module of the SDK that it loads. */
registerHooks({
  load(url, context, next) {
    if (/@opentelemetry|src\/traces\/(sdk|spans)|pino-pretty/.test(url)) process.stderr.write(`loaded ${url}\n`)
    return next(url, context)
  },
})
