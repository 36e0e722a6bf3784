// @platformatic/kafka against a broker: one scenario a run.
//
// Usage: platformatic.js records|groups|admin|transactions|bad BOOTSTRAP
'use strict'

const assert = require('node:assert')
const { createRequire } = require('node:module')
const { main, once, range, restart, until } = require('./broker.js')

// It is an ES module, which Node looks for beside the program unless it is told where.
const kafka = () => import(createRequire(__filename).resolve('@platformatic/kafka'))

let lib
let bootstrap
const admin = () => new lib.Admin({ clientId: 'admin', bootstrapBrokers: [bootstrap] })
const strings = { serializers: lib => lib.stringSerializers, deserializers: lib => lib.stringDeserializers }
const producer = options => new lib.Producer({
  clientId: 'producer', bootstrapBrokers: [bootstrap], serializers: strings.serializers(lib), retries: 20, ...options
})
const records = (topic, from, to) => range(from, to).map(n => ({ topic, key: `k${n % 97}`, value: String(n) }))

// A consumer that keeps what it reads.
const consumer = async (topic, groupId, { mode = 'committed', fallbackMode = 'earliest', ...options } = {}) => {
  const made = new lib.Consumer({
    clientId: 'consumer', groupId, bootstrapBrokers: [bootstrap], deserializers: strings.deserializers(lib),
    sessionTimeout: 6000, rebalanceTimeout: 6000, heartbeatInterval: 300, maxWaitTime: 200, ...options
  })
  made.values = []
  made.messages = []
  made.stream = await made.consume({ topics: [topic], mode, fallbackMode, autocommit: true, ...options })
  made.stream.on('data', message => { made.values.push(message.value); made.messages.push(message) })
  made.stream.on('error', error => { made.failed = error })
  return made
}

const read = async (topic, count, options) => {
  const made = await consumer(topic, `read-${topic}-${count}`, { mode: 'earliest', ...options })
  await until(`${count} records of ${topic}`, () => made.values.length >= count)
  await made.close(true)
  return made.values
}

const create = async (topic, partitions = 4) => {
  const a = admin()
  await a.createTopics({ topics: [topic], partitions, replicas: 1 })
  return a
}

// The ids of Kafka's errors in an error, wherever they stand in it.
const ids = error => [error?.apiId, ...(error?.errors ?? []).flatMap(ids), ...(error?.cause ? ids(error.cause) : [])]

const fails = (promise, ...expected) => assert.rejects(promise, error => {
  assert(ids(error).some(id => expected.includes(id)), `expected ${expected}, found ${ids(error)}: ${error}`)
  return true
})

const scenarios = {
  async records () {
    for (const compression of ['none', 'gzip']) {
      await create(compression)
      const p = producer({ idempotent: true, compression })
      await p.send({ messages: records(compression, 0, 5000) })
      once(await read(compression, 5000), 0, 5000)
    }
    console.log('records equal')
  },

  async groups () {
    const a = await create('g')
    const p = producer()
    const send = (from, to) => p.send({ messages: records('g', from, to) })
    await send(0, 400)
    const first = await consumer('g', 'g')
    await until('one reads all', () => first.values.length >= 400)
    const second = await consumer('g', 'g')
    const has = c => (c.assignments ?? []).reduce((sum, { partitions }) => sum + partitions.length, 0)
    await until('two share', () => has(first) === 2 && has(second) === 2)
    const group = (await a.describeGroups({ groups: ['g'] })).get('g')
    assert.strictEqual(group.members.size, 2)
    await send(400, 800)
    await until('two read all', () => first.values.length + second.values.length >= 800)
    await first.close(true)
    await until('one has all', () => has(second) === 4)
    await send(800, 1200)
    await until('one reads the rest', () => first.values.length + second.values.length >= 1200)
    await second.close(true)
    // It commits as it goes, and at its end: what was read last may come twice, nothing is missing.
    once([...new Set([...first.values, ...second.values])], 0, 1200)
    const offsets = (await a.listConsumerGroupOffsets({ groups: ['g'] }))[0].topics[0].partitions
    assert.strictEqual(offsets.reduce((sum, { committedOffset }) => sum + Number(committedOffset), 0), 1200)
    await a.deleteGroups({ groups: ['g'] })
    assert(!(await a.listGroups()).has('g'))
    console.log('shared')
  },

  async admin () {
    const a = await create('a', 2)
    await fails(a.createTopics({ topics: ['a'] }), 'TOPIC_ALREADY_EXISTS')
    await a.createPartitions({ topics: [{ name: 'a', count: 4, assignments: null }] })
    const topic = { resourceType: 2, resourceName: 'a' }
    await a.incrementalAlterConfigs({
      resources: [{ ...topic, configs: [{ name: 'retention.ms', configOperation: 0, value: '3600000' }] }]
    })
    const [{ configs }] = await a.describeConfigs({ resources: [{ ...topic, configurationKeys: ['retention.ms'] }] })
    assert.strictEqual(configs[0].value, '3600000')
    await producer().send({ messages: range(0, 400).map(n => ({ topic: 'a', value: String(n), partition: n % 4 })) })
    await a.deleteRecords({ topics: [{ name: 'a', partitions: [{ partition: 0, offset: 40n }] }] })
    const offset = async timestamp =>
      (await a.listOffsets({ topics: [{ name: 'a', partitions: [{ partitionIndex: 0, timestamp }] }] }))[0].partitions[0].offset
    assert.deepStrictEqual([await offset(-2n), await offset(-1n)], [40n, 100n])
    assert.strictEqual((await a.describeLogDirs({ topics: [{ name: 'a', partitions: [0] }] })).length, 1)
    const topics = [{ name: 'a', partitionOffsets: [{ partition: 0, offset: 50n }] }]
    await a.alterConsumerGroupOffsets({ groupId: 'x', topics })
    const [{ topics: [{ partitions }] }] = await a.listConsumerGroupOffsets({ groups: ['x'] })
    assert.strictEqual(partitions[0].committedOffset, 50n)
    await a.deleteConsumerGroupOffsets({ groupId: 'x', topics: [{ name: 'a', partitionIndexes: [0] }] })
    await a.deleteTopics({ topics: ['a'] })
    assert(!(await a.listTopics()).includes('a'))
    console.log('admin: as expected')
  },

  async transactions () {
    await create('t')
    await create('in')
    const p = producer({ transactionalId: 'tx', idempotent: true })
    const inTransaction = async (from, to, end) => {
      const t = await p.beginTransaction()
      await t.send({ messages: records('t', from, to) })
      await t[end]()
    }
    await inTransaction(0, 100, 'commit')
    await inTransaction(1000, 1100, 'abort')
    await inTransaction(100, 200, 'commit')
    once(await read('t', 200, { isolationLevel: 1 }), 0, 200)
    assert.strictEqual((await read('t', 300, { isolationLevel: 0 })).length, 300)
    console.log('aborted records are not read')

    for (const [from, end] of [[0, 'commit'], [1000, 'abort'], [100, 'commit']]) {
      const t = await p.beginTransaction()
      await t.send({ messages: records('in', from, from + 50) })
      await restart()
      await t.send({ messages: records('in', from + 50, from + 100) })
      await t[end]()
    }
    once(await read('in', 200, { isolationLevel: 1 }), 0, 200)
    console.log('killed while open')

    // Offsets go with the transaction that commits them.
    const a = admin()
    const reader = await consumer('t', 'copy', { isolationLevel: 1, autocommit: false })
    await until('all is read', () => reader.values.length === 200)
    const total = async () => {
      const [{ topics }] = await a.listConsumerGroupOffsets({ groups: ['copy'] })
      return topics.flatMap(({ partitions }) => partitions).reduce((sum, { committedOffset }) => sum + Number(committedOffset), 0)
    }
    for (const end of ['abort', 'commit']) {
      const t = await p.beginTransaction()
      await t.addConsumer(reader)
      await t.addOffset(reader.messages[0])
      await t[end]()
      const expected = end === 'abort' ? 0 : Number(reader.messages[0].offset) + 1
      await until(`offsets after ${end}`, async () => await total() === expected)
    }
    await reader.close(true)
    console.log('offsets follow')

    // A topic of its own: of two aborted transactions of a producer in one answer it skips the last alone.
    await create('f')
    const old = await p.beginTransaction()
    await old.send({ messages: records('f', 1000, 1010) })
    // Without an id it would name 0, and be fenced itself, also by Apache Kafka.
    const fresh = { producerId: -1n, producerEpoch: -1 }
    const next = await producer({ transactionalId: 'tx', idempotent: true, ...fresh }).beginTransaction()
    await fails(old.commit(), 'INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED')
    await next.send({ messages: records('f', 0, 10) })
    await next.commit()
    once(await read('f', 10, { isolationLevel: 1 }), 0, 10)
    console.log('fenced')
  },

  // The broker creates no topics by itself, which the test sees to.
  async bad () {
    const a = await create('t', 1)
    const p = producer({ retries: 1 })
    await p.send({ messages: records('t', 0, 100) })
    await fails(p.send({ messages: [{ topic: 't', value: 'x'.repeat(2 << 20) }] }), 'MESSAGE_TOO_LARGE')
    console.log('too large')

    const messages = [{ topic: 'unknown', value: 'x' }]
    await assert.rejects(producer({ retries: 1, autocreateTopics: true }).send({ messages }), /Unknown topic/)
    assert(!(await a.listTopics()).includes('unknown'))
    console.log('unknown topic')

    await a.deleteRecords({ topics: [{ name: 't', partitions: [{ partition: 0, offset: 50n }] }] })
    const from = offset => consumer('t', `from-${offset}`, { mode: 'manual', offsets: [{ topic: 't', partition: 0, offset }] })
    const valid = await from(50n)
    await until('the rest', () => valid.values.length === 50)
    await valid.close(true)
    const gone = await from(10n)
    await until('it fails', () => gone.failed)
    assert(ids(gone.failed).includes('OFFSET_OUT_OF_RANGE'), gone.failed)
    console.log('out of range')
  }
}

const named = Object.entries(scenarios).map(([name, scenario]) => [name, async address => {
  bootstrap = address
  lib = await kafka()
  await scenario()
}])
main(Object.fromEntries(named))
