// What both clients need: a broker that may be killed, and ways to wait and to compare.
'use strict'

const assert = require('node:assert')
const readline = require('node:readline')

const input = readline.createInterface({ input: process.stdin })
const answers = input[Symbol.asyncIterator]()

// "restart" asks the test to kill the broker (kill -9) and to start it again; it says "done".
exports.restart = async () => {
  console.log('restart')
  assert.strictEqual((await answers.next()).value, 'done')
}

exports.until = async (what, condition) => {
  for (let i = 0; i < 1800; i++) {
    if (await condition()) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error(`never: ${what}`)
}

exports.range = (from, to) => Array.from({ length: to - from }, (_, n) => from + n)

// The values are from..to, each once.
exports.once = (values, from, to) => {
  const sorted = values.map(Number).sort((a, b) => a - b)
  assert.deepStrictEqual(sorted, exports.range(from, to))
}

exports.main = scenarios => {
  scenarios[process.argv[2]](process.argv[3]).then(
    () => process.exit(0),
    error => { console.error(error); process.exit(1) }
  )
}
