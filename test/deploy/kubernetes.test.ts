import { describe, expect, it } from 'vitest'
import { parseDocument } from 'yaml'
import { readConfig } from '../../src/config.ts'
import { manifest, manifests, read, stopMs } from './manifests.ts'

const pod = manifest('Deployment').spec.template.spec
const [container] = pod.containers
const settings = { ...manifest('ConfigMap').data, ...manifest('Secret').stringData }

describe('deploy/kubernetes', () => {
  it('has settings that the service takes', () => {
    expect(readConfig(settings)).toMatchObject({ trustProxy: 1, redisUrl: expect.stringContaining('@valkey:6379/') })
  })

  it('gives a pod longer to end than its pause and the drain take', () => {
    const { drainGraceMs } = readConfig(settings)
    const pauseMs = container.lifecycle.preStop.sleep.seconds * 1000

    expect(pod.terminationGracePeriodSeconds * 1000).toBeGreaterThanOrEqual(pauseMs + stopMs(drainGraceMs))
  })

  it('has replicas that give each other slots, or the autoscaler would add what helps nobody', () => {
    const { metrics } = manifest('HorizontalPodAutoscaler').spec
    const { pods } = metrics.find(({ type }: { type: string }) => type === 'Pods')
    const { maxConcurrency, spread } = readConfig(settings)

    expect(spread).toBe('on')
    expect(pods.metric.name).toBe('gatherd_slots_wanted')
    // Before all slots are taken, or nobody could be short of them.
    expect(Number(pods.target.averageValue)).toBeLessThan(maxConcurrency)
    expect(Number(pods.target.averageValue)).toBeGreaterThan(maxConcurrency / 2)
  })

  it('keeps the variables of Services away, of which one would be GATHERD_PORT', () => {
    expect(manifest('Service').metadata.name).toBe('gatherd')
    expect(() => readConfig({ GATHERD_PORT: 'tcp://10.0.0.1:80' })).toThrow('GATHERD_PORT')
    expect(pod.enableServiceLinks).toBe(false)
  })

  it('asks /livez whether it lives, also without Redis, and /readyz whether it takes work', () => {
    const paths = ['startupProbe', 'livenessProbe', 'readinessProbe'].map((probe) => container[probe].httpGet.path)

    expect(paths).toEqual(['/livez', '/livez', '/readyz'])
  })

  it('starts two at least, and one after the other is replaced', () => {
    expect(manifest('HorizontalPodAutoscaler').spec.minReplicas).toBeGreaterThanOrEqual(2)
    expect(manifest('Deployment').spec.replicas).toBeUndefined()
    expect(manifest('Deployment').spec.strategy.rollingUpdate).toEqual({ maxSurge: 1, maxUnavailable: 0 })
    expect(manifest('PodDisruptionBudget').spec.maxUnavailable).toBe(1)
  })

  it.each([
    ['Deployment', 'gatherd'],
    ['StatefulSet', 'valkey'],
  ])('lets the %s write nowhere and gain nothing', (kind, name) => {
    const { spec } = manifest(kind, name).spec.template

    expect(spec.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
    expect(spec.automountServiceAccountToken).toBe(false)
    for (const { securityContext, resources } of spec.containers) {
      expect(securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      })
      expect(resources.limits.memory).toBeDefined()
    }
  })

  it('has a Valkey that keeps what it is told', () => {
    const { args } = manifest('StatefulSet', 'valkey').spec.template.spec.containers[0]

    expect(args).toEqual(
      expect.arrayContaining(['--appendonly yes', '--appendfsync everysec', '--maxmemory-policy noeviction']),
    )
  })

  it('lets fetches out to the public internet alone', () => {
    const blocks = manifest('NetworkPolicy').spec.egress.flatMap(({ to }: { to: { ipBlock?: IpBlock }[] }) =>
      to.flatMap(({ ipBlock }) => (ipBlock === undefined ? [] : [ipBlock])),
    )
    const closed = new Set(blocks.flatMap(({ except }: IpBlock) => except))

    expect(blocks.map(({ cidr }: IpBlock) => cidr)).toEqual(['0.0.0.0/0', '::/0'])
    for (const range of [
      '10.0.0.0/8',
      '127.0.0.0/8',
      '169.254.0.0/16',
      '172.16.0.0/12',
      '192.168.0.0/16',
      'fc00::/7',
      'fe80::/10',
    ])
      expect(closed).toContain(range)
  })

  it('selects by a label that what is meant has', () => {
    const labels = manifests().map(({ kind, metadata }) => [kind, metadata.labels?.['app.kubernetes.io/name']])
    const selected = [
      manifest('Service').spec.selector,
      manifest('Deployment').spec.selector.matchLabels,
      manifest('PodDisruptionBudget').spec.selector.matchLabels,
      manifest('NetworkPolicy').spec.podSelector.matchLabels,
      manifest('Deployment').spec.template.metadata.labels,
    ]

    expect(labels.filter(([, name]) => name !== 'gatherd' && name !== 'valkey')).toEqual([])
    expect(selected).toEqual(selected.map(() => ({ 'app.kubernetes.io/name': 'gatherd' })))
  })

  it('never has the ingress send again what may have been accepted', () => {
    const annotations = (manifest('Ingress').metadata as { annotations?: Record<string, string> }).annotations ?? {}
    const said = Object.entries(annotations).map(([name, value]) => `${name.split('/')[1]}: ${value}`)

    expect(said).toEqual(expect.arrayContaining(['proxy-buffering: off', 'proxy-next-upstream: error timeout']))
  })

  it('has its example of secrets where `kubectl apply -f deploy/kubernetes/` does not find it', () => {
    const secrets = manifests().filter(({ kind }) => kind === 'Secret')

    expect(secrets.map(({ file }) => file)).toEqual(secrets.map(() => 'deploy/kubernetes/examples/secret.yaml'))
    expect(parseDocument(read('compose.yaml')).errors).toEqual([])
  })
})

interface IpBlock {
  cidr: string
  except: string[]
}
