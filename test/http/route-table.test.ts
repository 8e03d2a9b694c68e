import { describe, expect, it } from 'vitest'
import { RouteTable } from '../../src/http/route-table.ts'

function table(): RouteTable {
  const routes = new RouteTable()
  routes.add({ url: '/v1/batches', method: 'POST' })
  routes.add({ url: '/v1/batches', method: ['GET', 'HEAD'] })
  routes.add({ url: '/v1/batches/:batchId', method: 'GET' })
  routes.add({ url: '/openapi.json', method: 'GET' })
  return routes
}

describe('RouteTable', () => {
  it.each([
    ['/v1/batches', ['GET', 'HEAD', 'POST']],
    ['/v1/batches?x=/y', ['GET', 'HEAD', 'POST']],
    ['/v1/batches/abc', ['GET']],
    ['/v1/batches/%2e%2e', ['GET']],
    ['/openapi.json', ['GET']],
    ['/openapiXjson', []],
    ['/v1/batches/', []],
    ['/v1/batches/a/b', []],
    ['/', []],
    ['', []],
  ])('knows which methods %j takes', (url, methods) => {
    expect(table().methodsOf(url)).toEqual(methods)
  })
})
