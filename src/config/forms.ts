import { z } from 'zod'

/** A number of the environment: digits, within bounds. Underscores may group them. */
export const whole = (min: number, max: number, fallback: number) => digits(min, max).default(fallback)

/** As `whole`, without a default. */
export const optionalWhole = (min: number, max: number) => digits(min, max).optional()

const digits = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d[\d_]*$/, { error: 'must be a whole number' })
    .transform((text) => Number(text.replaceAll('_', '')))
    .pipe(
      z
        .int()
        .min(min, { error: `must be at least ${min}` })
        .max(max, { error: `must be at most ${max}` }),
    )

/** As `whole`, with a fraction if need be; 0 is none. */
export const rate = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d[\d_]*(\.\d+)?$/, { error: 'must be a number such as 20 or 0.5' })
    .transform((text) => Number(text.replaceAll('_', '')))
    .refine((value) => value === 0 || (value >= min && value <= max), { error: `must be 0 or from ${min} to ${max}` })
    .default(0)

/** Any text but none. */
export const text = z.string().min(1, { error: 'must not be empty' })

/** The longest connection string, path or name. */
export const optional = text.max(4_096, { error: 'must be at most 4096 characters long' }).optional()

/** `redis://[[user]:password@]host[:port][/db]`, or `rediss://`. What is wrong with it is said without it: it may have a password. */
export const redisUrl = optional.refine((url) => url === undefined || /^rediss?:\/\/\S+$/.test(url), {
  error: 'must be redis://host or rediss://host, as redis://user:password@host:6379/0',
})

/** The operator's key. */
export const adminKey = z
  .string()
  .regex(/^[\x21-\x7e]{32,512}$/, { error: 'must be 32 to 512 visible ASCII characters without blanks' })
  .optional()

/** Keys with commas between them, 4,096 characters at most. */
export const secretKey = optional.refine(
  (text) => text?.split(',').every((key) => /^[\x21-\x7e]{32,512}$/.test(key)) ?? true,
  {
    error:
      'must be one or more texts with commas between them, each of 32 to 512 visible ASCII characters without blanks',
  },
)

/** One proxy, or a network of them, as Fastify takes it. */
const proxy = z.union([
  z.enum(['loopback', 'linklocal', 'uniquelocal']),
  z.ipv4(),
  z.ipv6(),
  z.cidrv4().refine((network) => !network.endsWith('/0')),
  z.cidrv6().refine((network) => !network.endsWith('/0')),
])

/** Fastify's `trustProxy`; false: off. */
export const trustProxy = z
  .string()
  .transform((list) => (/^[1-9]\d?$/.test(list) ? Number(list) : list.split(',').map((entry) => entry.trim())))
  .refine((value) => typeof value === 'number' || value.every((entry) => proxy.safeParse(entry).success), {
    error: 'must be addresses or networks with commas between them, such as 10.0.0.7,fd00::/8, or 1 to 99 proxies',
  })
  .optional()
  .transform((value): string[] | number | false => value ?? false)

/** One of a few words. */
export const choice = <const T extends [string, ...string[]]>(values: T) =>
  z.enum(values, { error: `must be one of ${values.join(', ')}` })
