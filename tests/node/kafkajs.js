// kafkajs against a broker: one scenario a run.
//
// Usage: kafkajs.js records|groups|admin|transactions|bad BOOTSTRAP
'use strict'

const assert = require('node:assert')
const { Kafka, CompressionTypes, logLevel } = require('kafkajs')
const { main, once, range, restart, until } = require('./broker.js')

let kafka
const open = bootstrap => {
  kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR, retry: { retries: 20, maxRetryTime: 1000 } })
}

const connected = async client => {
  await client.connect()
  return client
}
const admin = () => connected(kafka.admin())
const producer = options => connected(kafka.producer(options))
const records = (from, to) => range(from, to).map(n => ({ value: String(n), partition: n % 4 }))

// A consumer that keeps what it reads.
const consumer = async (topic, groupId, options) => {
  const made = await connected(kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 300, maxWaitTimeInMs: 200, ...options }))
  made.values = []
  await made.subscribe({ topic, fromBeginning: options?.fromBeginning ?? true })
  await made.run({ eachMessage: async ({ message }) => { made.values.push(String(message.value)) } })
  return made
}

const read = async (topic, count, options) => {
  const made = await consumer(topic, `read-${topic}-${count}`, options)
  await until(`${count} records of ${topic}`, () => made.values.length >= count)
  await made.disconnect()
  return made.values
}

const create = async (topic, numPartitions = 4) => {
  const a = await admin()
  await a.createTopics({ topics: [{ topic, numPartitions }] })
  return a
}

const typeOf = error => error.type ?? error.cause?.type ?? error.name

const fails = (promise, ...types) => assert.rejects(promise, error => {
  const found = typeOf(error)
  assert(types.includes(found), `expected ${types}, found ${found}: ${error}`)
  return true
})

const scenarios = {
  async records () {
    for (const [name, compression] of [['none', CompressionTypes.None], ['gzip', CompressionTypes.GZIP]]) {
      await create(name)
      const p = await producer({ idempotent: true, maxInFlightRequests: 1 })
      await p.send({ topic: name, compression, messages: records(0, 5000) })
      once(await read(name, 5000), 0, 5000)
    }
    console.log('records equal')
  },

  async groups () {
    const a = await create('g')
    const p = await producer()
    const send = (from, to) => p.send({ topic: 'g', messages: records(from, to) })
    const members = async () => (await a.describeGroups(['g'])).groups[0]
    await send(0, 400)
    const first = await consumer('g', 'g')
    await until('one reads all', () => first.values.length >= 400)
    const second = await consumer('g', 'g')
    await until('two members', async () => {
      const { state, members: all } = await members()
      return state === 'Stable' && all.length === 2
    })
    await send(400, 800)
    await until('two read all', () => first.values.length + second.values.length >= 800)
    assert(second.values.length > 0)
    await first.disconnect()
    await send(800, 1200)
    await until('one reads the rest', () => first.values.length + second.values.length >= 1200)
    await second.disconnect()
    once([...first.values, ...second.values], 0, 1200)
    const offsets = (await a.fetchOffsets({ groupId: 'g', topics: ['g'] }))[0].partitions
    assert.strictEqual(offsets.reduce((sum, { offset }) => sum + Number(offset), 0), 1200)
    await a.resetOffsets({ groupId: 'g', topic: 'g', earliest: true })
    const again = await consumer('g', 'g')
    await until('all is read again', () => again.values.length >= 1200)
    await again.disconnect()
    await a.deleteGroups(['g'])
    assert(!(await a.listGroups()).groups.some(({ groupId }) => groupId === 'g'))
    console.log('shared')
    await rebalancedAway()
  },

  async admin () {
    const a = await create('a', 2)
    assert.strictEqual(await a.createTopics({ topics: [{ topic: 'a' }] }), false)
    await a.createPartitions({ topicPartitions: [{ topic: 'a', count: 4 }] })
    await a.alterConfigs({ resources: [{ type: 2, name: 'a', configEntries: [{ name: 'retention.ms', value: '3600000' }] }] })
    const { resources } = await a.describeConfigs({ resources: [{ type: 2, name: 'a', configNames: ['retention.ms'] }] })
    assert.strictEqual(resources[0].configEntries[0].configValue, '3600000')
    const p = await producer()
    await p.send({ topic: 'a', messages: records(0, 400) })
    const total = (offsets, key) => offsets.reduce((sum, one) => sum + Number(one[key]), 0)
    assert.strictEqual(total(await a.fetchTopicOffsets('a'), 'high'), 400)
    await a.deleteTopicRecords({ topic: 'a', partitions: [{ partition: 0, offset: '40' }] })
    assert.strictEqual(total(await a.fetchTopicOffsets('a'), 'low'), 40)
    assert.strictEqual((await a.describeCluster()).brokers.length, 1)
    await a.setOffsets({ groupId: 'x', topic: 'a', partitions: [{ partition: 0, offset: '50' }] })
    const offsets = await a.fetchOffsets({ groupId: 'x', topics: ['a'] })
    assert.strictEqual(offsets[0].partitions.find(({ partition }) => partition === 0).offset, '50')
    await a.deleteTopics({ topics: ['a'] })
    assert(!(await a.listTopics()).includes('a'))
    console.log('admin: as expected')
  },

  async transactions () {
    await create('t')
    await create('in')
    const p = await producer({ transactionalId: 'tx', maxInFlightRequests: 1, idempotent: true })
    const inTransaction = async (from, to, end, topic = 't') => {
      const t = await p.transaction()
      await t.send({ topic, messages: records(from, to) })
      await t[end]()
    }
    await inTransaction(0, 100, 'commit')
    await inTransaction(1000, 1100, 'abort')
    await inTransaction(100, 200, 'commit')
    once(await read('t', 200), 0, 200)
    assert.strictEqual((await read('t', 300, { readUncommitted: true })).length, 300)
    console.log('aborted records are not read')

    // Offsets go with the transaction that commits them.
    const a = await admin()
    const offset = async () => (await a.fetchOffsets({ groupId: 'copy', topics: ['in'] }))[0]?.partitions[0].offset
    for (const [end, expected] of [['abort', '-1'], ['commit', '10']]) {
      const t = await p.transaction()
      await t.sendOffsets({ consumerGroupId: 'copy', topics: [{ topic: 'in', partitions: [{ partition: 0, offset: '10' }] }] })
      await t[end]()
      await until(`offset ${expected} after ${end}`, async () => await offset() === expected)
    }
    console.log('offsets follow')

    for (const [from, end] of [[0, 'commit'], [1000, 'abort'], [100, 'commit']]) {
      const t = await p.transaction()
      await t.send({ topic: 'in', messages: records(from, from + 50) })
      await restart()
      await t.send({ topic: 'in', messages: records(from + 50, from + 100) })
      await t[end]()
    }
    once(await read('in', 200), 0, 200)
    console.log('killed while open')

    const old = await p.transaction()
    await old.send({ topic: 't', messages: records(2000, 2010) })
    const next = await producer({ transactionalId: 'tx', maxInFlightRequests: 1, idempotent: true })
    const t = await next.transaction()
    await fails(old.commit(), 'INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED')
    await t.send({ topic: 't', messages: records(200, 210) })
    await t.commit()
    once(await read('t', 210), 0, 210)
    console.log('fenced')
  },

  // The broker creates no topics by itself, which the test sees to.
  async bad () {
    const a = await create('t', 1)
    const p = await producer()
    await p.send({ topic: 't', messages: range(0, 100).map(n => ({ value: String(n) })) })
    await fails(p.send({ topic: 't', messages: [{ value: Buffer.alloc(2 << 20) }] }), 'MESSAGE_TOO_LARGE')
    console.log('too large')

    const impatient = await connected(kafka.producer({ retry: { retries: 1 } }))
    await fails(impatient.send({ topic: 'unknown', messages: [{ value: 'x' }] }), 'UNKNOWN_TOPIC_OR_PARTITION')
    assert(!(await a.listTopics()).includes('unknown'))
    console.log('unknown topic')

    // kafkajs goes to where a group without offsets would begin.
    const outOfRange = async (groupId, fromBeginning) => {
      await a.setOffsets({ groupId, topic: 't', partitions: [{ partition: 0, offset: '10' }] })
      return consumer('t', groupId, { fromBeginning })
    }
    await a.deleteTopicRecords({ topic: 't', partitions: [{ partition: 0, offset: '50' }] })
    const earliest = await outOfRange('earliest', true)
    await until('the rest', () => earliest.values.length >= 50)
    once(earliest.values, 50, 100)
    await earliest.disconnect()
    const latest = await outOfRange('latest', false)
    let next = 100
    await until('what is new', async () => {
      await p.send({ topic: 't', messages: [{ value: String(next++) }] })
      return latest.values.length > 0
    })
    assert(Number(latest.values[0]) >= 100, latest.values)
    await latest.disconnect()
    console.log('out of range')
  }
}

// A member that says nothing for too long is put out of its group, and may not commit.
const rebalancedAway = async () => {
  await create('slow', 1)
  const p = await producer()
  await p.send({ topic: 'slow', messages: [{ value: '0' }] })
  const slow = await connected(kafka.consumer({ groupId: 'slow', sessionTimeout: 6000, rebalanceTimeout: 1000, heartbeatInterval: 300, maxWaitTimeInMs: 200 }))
  await slow.subscribe({ topic: 'slow', fromBeginning: true })
  let release
  let reached
  const held = new Promise(resolve => { release = resolve })
  const holds = new Promise(resolve => { reached = resolve })
  let crash
  const refused = new Promise(resolve => { crash = resolve })
  slow.on(slow.events.CRASH, ({ payload }) => crash(payload.error))
  await slow.run({
    autoCommit: false,
    eachMessage: async ({ topic, partition, message }) => {
      reached()
      await held
      try {
        await slow.commitOffsets([{ topic, partition, offset: String(Number(message.offset) + 1) }])
        crash(new Error('it may commit'))
      } catch (error) {
        crash(error)
      }
    }
  })
  await holds
  const second = await consumer('slow', 'slow', { rebalanceTimeout: 1000 })
  await until('the second reads it', () => second.values.length === 1)
  release()
  const types = ['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'REBALANCE_IN_PROGRESS']
  const error = await refused
  assert(types.includes(typeOf(error)), error)
  await slow.disconnect()
  await second.disconnect()
  console.log('rebalanced away')
}

const named = Object.entries(scenarios).map(([name, scenario]) => [name, bootstrap => { open(bootstrap); return scenario() }])
main(Object.fromEntries(named))
