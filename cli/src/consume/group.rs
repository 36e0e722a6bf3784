//! `consume --group`: the topics' partitions are shared with the group's other members.
//!
//! Only what was printed is committed: every five seconds, before partitions move to another
//! member, and at the end. So each record is printed once by the whole group, unless a member is
//! killed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::{Duration, Instant};

use brooklet_client::{
    Assignor, Client, ClientError, GroupConfig, GroupConsumer, OffsetReset, Polled,
};
use brooklet_protocol::{Offset, PartitionId, TopicName, TopicPartition};

use super::{Args, Printer};
use crate::exit::{CliError, Exit};
use crate::globals::Globals;
use crate::output::Output;
use crate::signals::Stop;
use crate::start_offset::StartOffset;
use crate::topic::topic_error;

/// As Kafka's `auto.commit.interval.ms`.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// Arguments of a member of a group.
#[derive(Debug, clap::Args)]
pub(super) struct GroupArgs {
    /// Join this group: share the partitions with its other members, and commit what was printed
    #[arg(short = 'G', long, conflicts_with = "partition")]
    pub(super) group: Option<String>,
    /// How the group shares partitions: range, roundrobin, sticky, cooperative-sticky; may be
    /// repeated, preferred first [default: range, cooperative-sticky]
    #[arg(long, value_name = "NAME", requires = "group")]
    assignor: Vec<Assignor>,
    /// Join as a static member of this name: a restart within the session timeout causes no
    /// rebalance
    #[arg(long, value_name = "ID", requires = "group")]
    instance_id: Option<String>,
    /// Time without a heartbeat after which the group removes this member
    #[arg(long, value_name = "MS", requires = "group", default_value_t = 45_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=SESSION_MS_MAX))]
    session_timeout: u64,
}

/// The most that the protocol can express.
const SESSION_MS_MAX: u64 = i32::MAX as u64;

fn config(group: &str, args: &Args) -> anyhow::Result<GroupConfig> {
    let offset_reset = match args.offset {
        StartOffset::Beginning => OffsetReset::Earliest,
        StartOffset::End => OffsetReset::Latest,
        _ => {
            let text = "in a group, --offset is where to start without a committed offset: expected beginning or \
                        end. To move the group use: brooklet group seek";
            return Err(CliError::Usage(text.into()).into());
        }
    };
    let defaults = GroupConfig::new(group);
    let session_timeout = Duration::from_millis(args.group.session_timeout);
    let mut config = GroupConfig {
        session_timeout,
        // A third, as Kafka advises: two may get lost.
        heartbeat_interval: defaults.heartbeat_interval.min(session_timeout / 3),
        instance_id: args.group.instance_id.clone(),
        offset_reset,
        // Only what was printed is committed, and the consumer does not know what that is.
        auto_commit: false,
        consumer: args.consumer_config(),
        ..defaults
    };
    if !args.group.assignor.is_empty() {
        config.assignors.clone_from(&args.group.assignor);
    }
    Ok(config)
}

/// Reads until the count, the end or a signal, and always leaves the group.
pub(super) async fn run<W: Write>(
    globals: &Globals,
    client: Client,
    (group, args): (&str, &Args),
    output: Output<W>,
    mut stop: Stop,
) -> anyhow::Result<Exit> {
    let config = config(group, args)?;
    for topic in &args.topics {
        let metadata = client.metadata(Some(&[topic.as_str()])).await?;
        if let Some(code) = metadata.topics.first().and_then(|topic| topic.error) {
            return Err(topic_error(topic.as_str(), code).into());
        }
    }
    let mut member = Member {
        globals,
        client: client.clone(),
        group,
        topics: &args.topics,
        consumer: GroupConsumer::subscribe(client, config, args.topics.clone()),
        printer: Printer::new(args, output),
        uncommitted: BTreeMap::new(),
        committed_at: Instant::now(),
    };
    let result = tokio::select! {
        result = member.read(args.exit_at_end) => result.map(|()| Exit::Ok),
        // Nothing is lost: records are written before the next wait.
        signal = stop.wait() => Ok(signal.exit()),
    };
    let committed = member.commit().await;
    let closed = member.consumer.close().await;
    let exit = result?;
    committed?;
    closed?;
    Ok(exit)
}

/// A member and what it has printed.
struct Member<'a, W> {
    globals: &'a Globals,
    client: Client,
    group: &'a str,
    topics: &'a [TopicName],
    consumer: GroupConsumer,
    printer: Printer<W>,
    /// The next offset to print, for each partition where it has changed since the last commit.
    uncommitted: BTreeMap<TopicPartition, Offset>,
    committed_at: Instant,
}

impl<W: Write> Member<'_, W> {
    async fn read(&mut self, exit_at_end: bool) -> anyhow::Result<()> {
        loop {
            let share = self.consumer.assignment();
            let is_over = exit_at_end && !share.is_empty();
            if is_over && share.iter().all(|p| self.consumer.is_caught_up(p)) {
                return Ok(());
            }
            if exit_at_end && share.is_empty() && self.is_left_out().await? {
                self.globals
                    .note("% Other members read all partitions: exiting");
                return Ok(());
            }
            if self.printer.records_left == 0 {
                return Ok(());
            }
            match self.consumer.poll().await? {
                Polled::Records(fetched) => {
                    for fetched in fetched {
                        let next = self.printer.print(&fetched, Offset(i64::MAX))?;
                        // Offsets after the last record, of control batches for instance, are
                        // skipped, too.
                        let position = self.consumer.position(&fetched.partition);
                        let next = next.or(position).unwrap_or(fetched.position);
                        self.uncommitted.insert(fetched.partition, next);
                    }
                    self.printer.output.flush()?;
                }
                Polled::Assigned(partitions) => self.say("assigned", &partitions),
                Polled::Revoked(partitions) => {
                    self.commit().await?;
                    self.say("revoked", &partitions);
                }
                Polled::Lost(partitions) => {
                    self.uncommitted.retain(|p, _| !partitions.contains(p));
                    self.say("lost", &partitions);
                }
            }
            if self.committed_at.elapsed() >= COMMIT_INTERVAL {
                self.commit().await?;
            }
        }
    }

    /// Whether this member will get no partition as long as the group stays as it is, because the
    /// others have all of them. Having none right now is not enough: a cooperative group revokes
    /// partitions in one round and assigns them in the next.
    async fn is_left_out(&self) -> Result<bool, ClientError> {
        let Some((id, _)) = self.consumer.member() else {
            return Ok(false);
        };
        let group = match self.client.describe_group(self.group).await {
            // The group was removed; this member will join again.
            Err(ClientError::UnknownGroup(_)) => return Ok(false),
            group => group?,
        };
        let (own, others): (Vec<_>, Vec<_>) = (group.members.iter()).partition(|m| m.id == id);
        let has_none = own.iter().all(|member| member.partitions.is_empty());
        if group.state != "Stable" || own.is_empty() || !has_none {
            return Ok(false);
        }
        let taken: BTreeSet<_> = others.iter().flat_map(|m| &m.partitions).collect();
        for topic in self.topics {
            let count = self.client.partition_count(topic).await?;
            let mut all = (0..count).map(|n| TopicPartition::new(topic.clone(), PartitionId(n)));
            if !all.all(|partition| taken.contains(&partition)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Commits what was printed. If the group has removed this member, others will print it again.
    async fn commit(&mut self) -> Result<(), ClientError> {
        self.committed_at = Instant::now();
        if self.uncommitted.is_empty() {
            return Ok(());
        }
        match self.consumer.commit_sync(&self.uncommitted).await {
            Ok(()) => self.uncommitted.clear(),
            Err(error @ ClientError::Broker { .. }) => {
                self.globals.note(format_args!(
                    "% {error}: the offsets are not committed, and their records will be read again"
                ));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn say(&self, what: &str, partitions: &BTreeSet<TopicPartition>) {
        let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
        self.globals.note(format_args!(
            "% Group rebalanced: {what} {}",
            names.join(" ")
        ));
    }
}
