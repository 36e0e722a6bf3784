//! Kafka's settings that have no effect here, and why.
//!
//! A broker starts with an existing `server.properties` of Kafka's, and logs once which of its
//! lines have no effect, grouped by reason. The names are those of Kafka 3.9 and 4.1, and all that
//! begin with `listener.name.`; any other unknown name is an error, so that a typing mistake is
//! found.
//!
//! Only names are kept and logged, never values: some of these are passwords.
//!
//! A setting that begins to have an effect moves from here to `table`; a test finds names that are
//! in both.

/// Settings without effect, for one reason.
#[derive(Clone, Copy, Debug)]
pub struct WithoutEffect {
    /// The reason.
    pub why: &'static str,
    names: &'static str,
}

impl WithoutEffect {
    /// Kafka's names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.names.split_ascii_whitespace()
    }

    /// Whether `key` is one of these. A name that ends with a dot stands for all that begin with
    /// it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.names()
            .any(|name| name == key || (name.ends_with('.') && key.starts_with(name)))
    }
}

/// All of them, by reason.
pub const WITHOUT_EFFECT: &[WithoutEffect] = &[
    WithoutEffect {
        why: "the broker keeps its own coordination tree",
        names: "
            zookeeper.clientCnxnSocket zookeeper.connect zookeeper.connection.timeout.ms
            zookeeper.max.in.flight.requests zookeeper.metadata.migration.enable
            zookeeper.metadata.migration.min.batch.size zookeeper.session.timeout.ms
            zookeeper.set.acl zookeeper.ssl.cipher.suites zookeeper.ssl.client.enable
            zookeeper.ssl.crl.enable zookeeper.ssl.enabled.protocols
            zookeeper.ssl.endpoint.identification.algorithm zookeeper.ssl.keystore.location
            zookeeper.ssl.keystore.password zookeeper.ssl.keystore.type zookeeper.ssl.ocsp.enable
            zookeeper.ssl.protocol zookeeper.ssl.truststore.location
            zookeeper.ssl.truststore.password zookeeper.ssl.truststore.type
        ",
    },
    WithoutEffect {
        why: "there is one broker, nothing is replicated and nobody else leads",
        names: "
            alter.log.dirs.replication.quota.window.num
            alter.log.dirs.replication.quota.window.size.seconds auto.leader.rebalance.enable
            broker.heartbeat.interval.ms broker.id.generation.enable broker.rack
            broker.session.timeout.ms control.plane.listener.name controlled.shutdown.enable
            controlled.shutdown.max.retries controlled.shutdown.retry.backoff.ms
            default.replication.factor eligible.leader.replicas.enable
            initial.broker.registration.timeout.ms inter.broker.listener.name
            inter.broker.protocol.version leader.imbalance.check.interval.seconds
            leader.imbalance.per.broker.percentage min.insync.replicas
            num.replica.alter.log.dirs.threads num.replica.fetchers replica.fetch.backoff.ms
            replica.fetch.max.bytes replica.fetch.min.bytes replica.fetch.response.max.bytes
            replica.fetch.wait.max.ms replica.high.watermark.checkpoint.interval.ms
            replica.lag.time.max.ms replica.selector.class replica.socket.receive.buffer.bytes
            replica.socket.timeout.ms replication.quota.window.num
            replication.quota.window.size.seconds request.timeout.ms reserved.broker.max.id
            security.inter.broker.protocol unclean.leader.election.enable
            unclean.leader.election.interval.ms
        ",
    },
    WithoutEffect {
        why: "there is no quorum of controllers",
        names: "
            controller.listener.names controller.performance.always.log.threshold.ms
            controller.performance.sample.period.ms controller.quorum.append.linger.ms
            controller.quorum.bootstrap.servers controller.quorum.election.backoff.max.ms
            controller.quorum.election.timeout.ms controller.quorum.fetch.timeout.ms
            controller.quorum.request.timeout.ms controller.quorum.retry.backoff.ms
            controller.quorum.voters controller.quota.window.num
            controller.quota.window.size.seconds controller.socket.timeout.ms
            early.start.listeners metadata.log.dir metadata.log.max.record.bytes.between.snapshots
            metadata.log.max.snapshot.interval.ms metadata.log.segment.bytes
            metadata.log.segment.min.bytes metadata.log.segment.ms metadata.max.idle.interval.ms
            metadata.max.retention.bytes metadata.max.retention.ms process.roles
            server.max.startup.time.ms
        ",
    },
    WithoutEffect {
        why: "of the newer protocol of groups (KIP-848), or of how Kafka keeps offsets",
        names: "
            group.consumer.assignors group.consumer.heartbeat.interval.ms
            group.consumer.max.heartbeat.interval.ms group.consumer.max.session.timeout.ms
            group.consumer.max.size group.consumer.migration.policy
            group.consumer.min.heartbeat.interval.ms group.consumer.min.session.timeout.ms
            group.consumer.regex.refresh.interval.ms group.consumer.session.timeout.ms
            group.coordinator.append.linger.ms group.coordinator.new.enable
            group.coordinator.rebalance.protocols group.coordinator.threads
              
              offsets.commit.required.acks
            offsets.commit.timeout.ms offsets.load.buffer.size offsets.retention.check.interval.ms
             offsets.topic.compression.codec 
            offsets.topic.replication.factor offsets.topic.segment.bytes
        ",
    },
    WithoutEffect {
        why: "the coordinator of transactions verifies every batch, waits for nobody and does what is due when it is due",
        names: "
            add.partitions.to.txn.retry.backoff.max.ms add.partitions.to.txn.retry.backoff.ms
            transaction.abort.timed.out.transaction.cleanup.interval.ms
            transaction.partition.verification.enable
            transaction.remove.expired.transaction.cleanup.interval.ms
            transaction.state.log.load.buffer.size transaction.state.log.min.isr
            transaction.state.log.replication.factor
            transaction.state.log.segment.bytes transaction.two.phase.commit.enable
        ",
    },
    WithoutEffect {
        why: "share groups and streams groups are not served",
        names: "
            group.share.assignors group.share.delivery.count.limit group.share.enable
            group.share.heartbeat.interval.ms group.share.max.groups
            group.share.max.heartbeat.interval.ms group.share.max.record.lock.duration.ms
            group.share.max.session.timeout.ms group.share.max.share.sessions group.share.max.size
            group.share.min.heartbeat.interval.ms group.share.min.record.lock.duration.ms
            group.share.min.session.timeout.ms group.share.partition.max.record.locks
            group.share.persister.class.name group.share.record.lock.duration.ms
            group.share.session.timeout.ms group.streams.heartbeat.interval.ms
            group.streams.max.heartbeat.interval.ms group.streams.max.session.timeout.ms
            group.streams.max.size group.streams.max.standby.replicas
            group.streams.min.heartbeat.interval.ms group.streams.min.session.timeout.ms
            group.streams.num.standby.replicas group.streams.session.timeout.ms
            share.coordinator.append.linger.ms
            share.coordinator.cold.partition.snapshot.interval.ms
            share.coordinator.load.buffer.size
            share.coordinator.snapshot.update.records.per.snapshot
            share.coordinator.state.topic.compression.codec share.coordinator.state.topic.min.isr
            share.coordinator.state.topic.num.partitions
            share.coordinator.state.topic.prune.interval.ms
            share.coordinator.state.topic.replication.factor
            share.coordinator.state.topic.segment.bytes share.coordinator.threads
            share.coordinator.write.timeout.ms share.fetch.purgatory.purge.interval.requests
        ",
    },
    WithoutEffect {
        why: "connections are neither encrypted nor authenticated, and nobody is refused",
        names: "
            authorizer.class.name connection.failed.authentication.delay.ms
            connections.max.reauth.ms delegation.token.expiry.check.interval.ms
            delegation.token.expiry.time.ms delegation.token.master.key
            delegation.token.max.lifetime.ms delegation.token.secret.key
            password.encoder.cipher.algorithm password.encoder.iterations
            password.encoder.key.length password.encoder.keyfactory.algorithm
            password.encoder.old.secret password.encoder.secret principal.builder.class
            sasl.client.callback.handler.class sasl.enabled.mechanisms sasl.jaas.config
            sasl.kerberos.kinit.cmd sasl.kerberos.min.time.before.relogin
            sasl.kerberos.principal.to.local.rules sasl.kerberos.service.name
            sasl.kerberos.ticket.renew.jitter sasl.kerberos.ticket.renew.window.factor
            sasl.login.callback.handler.class sasl.login.class sasl.login.connect.timeout.ms
            sasl.login.read.timeout.ms sasl.login.refresh.buffer.seconds
            sasl.login.refresh.min.period.seconds sasl.login.refresh.window.factor
            sasl.login.refresh.window.jitter sasl.login.retry.backoff.max.ms
            sasl.login.retry.backoff.ms sasl.mechanism.controller.protocol
            sasl.mechanism.inter.broker.protocol sasl.oauthbearer.assertion.algorithm
            sasl.oauthbearer.assertion.claim.aud sasl.oauthbearer.assertion.claim.exp.seconds
            sasl.oauthbearer.assertion.claim.iss sasl.oauthbearer.assertion.claim.jti.include
            sasl.oauthbearer.assertion.claim.nbf.seconds sasl.oauthbearer.assertion.claim.sub
            sasl.oauthbearer.assertion.file sasl.oauthbearer.assertion.private.key.file
            sasl.oauthbearer.assertion.private.key.passphrase
            sasl.oauthbearer.assertion.template.file sasl.oauthbearer.client.credentials.client.id
            sasl.oauthbearer.client.credentials.client.secret sasl.oauthbearer.clock.skew.seconds
            sasl.oauthbearer.expected.audience sasl.oauthbearer.expected.issuer
            sasl.oauthbearer.jwks.endpoint.refresh.ms
            sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms
            sasl.oauthbearer.jwks.endpoint.retry.backoff.ms sasl.oauthbearer.jwks.endpoint.url
            sasl.oauthbearer.jwt.retriever.class sasl.oauthbearer.jwt.validator.class
            sasl.oauthbearer.scope sasl.oauthbearer.scope.claim.name
            sasl.oauthbearer.sub.claim.name sasl.oauthbearer.token.endpoint.url
            sasl.server.callback.handler.class sasl.server.max.receive.size security.providers
            ssl.allow.dn.changes ssl.allow.san.changes ssl.cipher.suites ssl.client.auth
            ssl.enabled.protocols ssl.endpoint.identification.algorithm ssl.engine.factory.class
            ssl.key.password ssl.keymanager.algorithm ssl.keystore.certificate.chain
            ssl.keystore.key ssl.keystore.location ssl.keystore.password ssl.keystore.type
            ssl.principal.mapping.rules ssl.protocol ssl.provider ssl.secure.random.implementation
            ssl.trustmanager.algorithm ssl.truststore.certificates ssl.truststore.location
            ssl.truststore.password ssl.truststore.type
        ",
    },
    WithoutEffect {
        why: "lz4 has one compressor here, the fast one",
        names: "
            compression.lz4.level
        ",
    },
    WithoutEffect {
        why: "there is one listener",
        names: "
            listener.name. listener.security.protocol.map
        ",
    },
    WithoutEffect {
        why: "there are no quotas, no plug-ins and no pushed metrics",
        names: "
            alter.config.policy.class.name auto.include.jmx.reporter client.quota.callback.class
            create.topic.policy.class.name kafka.metrics.polling.interval.secs
            kafka.metrics.reporters metric.reporters metrics.num.samples metrics.recording.level
            metrics.sample.window.ms quota.window.num quota.window.size.seconds
            telemetry.max.bytes
        ",
    },
    WithoutEffect {
        why: "all data lie in the one data directory",
        names: "
            log.dir.failure.timeout.ms log.local.retention.bytes log.local.retention.ms
            remote.fetch.max.wait.ms remote.list.offsets.request.timeout.ms
            remote.log.index.file.cache.total.size.bytes
            remote.log.manager.copier.thread.pool.size
            remote.log.manager.copy.max.bytes.per.second remote.log.manager.copy.quota.window.num
            remote.log.manager.copy.quota.window.size.seconds
            remote.log.manager.expiration.thread.pool.size
            remote.log.manager.fetch.max.bytes.per.second
            remote.log.manager.fetch.quota.window.num
            remote.log.manager.fetch.quota.window.size.seconds remote.log.manager.task.interval.ms
            remote.log.manager.task.retry.backoff.max.ms remote.log.manager.task.retry.backoff.ms
            remote.log.manager.task.retry.jitter remote.log.manager.thread.pool.size
            remote.log.metadata.custom.metadata.max.bytes remote.log.metadata.manager.class.name
            remote.log.metadata.manager.class.path remote.log.metadata.manager.impl.prefix
            remote.log.metadata.manager.listener.name remote.log.reader.max.pending.tasks
            remote.log.reader.threads remote.log.storage.manager.class.name
            remote.log.storage.manager.class.path remote.log.storage.manager.impl.prefix
            remote.log.storage.system.enable
        ",
    },
    WithoutEffect {
        why: "threads, queues and buffers find their own size",
        names: "
            background.threads delete.records.purgatory.purge.interval.requests
            fetch.purgatory.purge.interval.requests log.cleaner.io.buffer.load.factor
            log.cleaner.io.buffer.size log.cleaner.io.max.bytes.per.second log.cleaner.threads
            log.initial.task.delay.ms max.request.partition.size.limit num.io.threads
            num.network.threads num.recovery.threads.per.data.dir
            producer.id.expiration.check.interval.ms producer.purgatory.purge.interval.requests
            queued.max.requests socket.connection.setup.timeout.max.ms
            socket.connection.setup.timeout.ms socket.listen.backlog.size
            socket.receive.buffer.bytes socket.send.buffer.bytes
        ",
    },
    WithoutEffect {
        why: "it is always so, never so, or done in another way",
        names: "
            delete.topic.enable log.flush.offset.checkpoint.interval.ms
            log.flush.scheduler.interval.ms log.flush.start.offset.checkpoint.interval.ms
            log.message.downconversion.enable log.message.format.version
            log.message.timestamp.difference.max.ms max.connection.creation.rate
            max.connections.per.ip.overrides unstable.api.versions.enable
            unstable.feature.versions.enable
        ",
    },
];
