import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { GroupParse, type GroupPlace } from '../../src/http/body-groups.ts'
import { JsonScanner } from '../../src/json/scanner.ts'
import { SeamFinder } from '../../src/json/seams.ts'

/** A text parsed in groups: what it is, what each parse was told, and how many steps it took. Null: it cannot be cut. */
function inGroups(text: string, groupBytes = 1) {
  const bytes = Buffer.from(text)
  const finder = new SeamFinder(groupBytes)
  const scanner = new JsonScanner({ maxDepth: 100 }, finder)
  scanner.write(bytes)
  if (finder.seams === null) return null
  const places: (GroupPlace | null)[] = []
  const parse = new GroupParse(bytes, finder.seams, (part, place) => {
    places.push(place)
    return JSON.parse(part.toString())
  })
  let steps = 1
  while (!parse.step()) steps++
  return { body: parse.body, places, steps }
}

describe('GroupParse', () => {
  it('gives what JSON.parse gives of the whole', () => {
    const array = fc.array(fc.jsonValue({ maxDepth: 3 }), { minLength: 2, maxLength: 20 })
    const body = fc.dictionary(fc.string(), fc.oneof(fc.jsonValue({ maxDepth: 2 }), array), { maxKeys: 5 })
    fc.assert(
      fc.property(body, array, fc.nat(3), fc.integer({ min: 1, max: 60 }), (fields, jobs, indent, groupBytes) => {
        const text = JSON.stringify({ ...fields, jobs }, null, indent)
        const parsed = inGroups(text, groupBytes)
        if (parsed !== null) expect(parsed.body).toEqual(JSON.parse(text))
      }),
    )
  })

  it('takes a step for the frame and one for each group, and says where each is', () => {
    expect(inGroups('{"policy":"any","jobs":[11,22,33,44,55],"n":1}', 4)).toEqual({
      body: { policy: 'any', jobs: [11, 22, 33, 44, 55], n: 1 },
      places: [null, { member: 'jobs', from: 0 }, { member: 'jobs', from: 2 }, { member: 'jobs', from: 4 }],
      steps: 4,
    })
  })

  it.each([
    ['{"jobs":[1,2],"jobs":[3]}', { jobs: [3] }],
    ['{"jobs":[1,2],"jobs":null}', { jobs: null }],
    ['{"jobs":[0],"jobs":[1,2]}', { jobs: [1, 2] }],
    ['{"jobs":[1,2],"jobs":[3,4]}', { jobs: [3, 4] }],
  ])('has the last of two members of one name count: %s', (text, body) => {
    expect(inGroups(text)?.body).toEqual(body)
  })

  it('passes on what the parser throws, of the frame and of any group', () => {
    const bytes = Buffer.from('{"jobs":[1,2]}')
    const seams = { open: 8, commas: [10], close: 12 }
    for (const nth of [1, 2, 3]) {
      let calls = 0
      const parse = new GroupParse(bytes, seams, (part) => {
        if (++calls === nth) throw new Error(`call ${nth}`)
        return JSON.parse(part.toString())
      })
      expect(() => {
        while (!parse.step());
      }).toThrow(`call ${nth}`)
    }
  })
})
