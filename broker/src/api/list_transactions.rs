//! ListTransactions (66), versions 0 to 2: the transactional ids that are known (KIP-664).
//!
//! Filters: state (an unknown one is returned in the response), producer id, from version 1 on how
//! long a transaction has been open (KIP-994), and from version 2 on a pattern that the whole id
//! has to match (KIP-1152). Kafka matches with RE2, in time linear in the length of the id, and so
//! does our engine; but it knows ASCII character classes only (`\w`, `\d`), and no `\p`.

use std::collections::BTreeSet;

use brooklet_machines::transaction::{Status, Transaction};
use brooklet_protocol::Timestamp;
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::list_transactions_response::TransactionState;
use brooklet_protocol::messages::kafka::{
    ListTransactionsRequest, ListTransactionsResponse, ProducerId, TransactionalId,
};

use regex_lite::Regex;

use super::call::Call;
use super::context::ApiContext;
use super::groups::text;
use super::transactions::value_or_code;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<ListTransactionsRequest>,
) -> ListTransactionsResponse {
    let (mut states, mut unknown) = (BTreeSet::new(), Vec::new());
    for filter in request.state_filters {
        match Status::ALL
            .into_iter()
            .find(|status| status.name() == filter.as_str())
        {
            Some(status) => {
                states.insert(status.name());
            }
            None => unknown.push(filter),
        }
    }
    let response = ListTransactionsResponse::default();
    if states.is_empty() && !unknown.is_empty() {
        return response.with_unknown_state_filters(unknown);
    }
    let Ok(pattern) = pattern_of(request.transactional_id_pattern.as_deref()) else {
        return response.with_error_code(ErrorCode::InvalidRegularExpression.code());
    };
    let producers: BTreeSet<_> = request.producer_id_filters.iter().map(|id| id.0).collect();
    let now = ctx.clock.wall();
    let is_listed = |known: &Transaction| {
        (states.is_empty() || states.contains(known.status.name()))
            && (producers.is_empty() || producers.contains(&known.producer.id.0))
            && is_open_for(known, now, request.duration_filter)
    };
    let look = |transactions: &brooklet_machines::transaction::Transactions| {
        let matches = |id: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(id));
        let all = transactions.iter();
        let listed = all.filter(|(id, known)| is_listed(known) && matches(id));
        listed
            .map(|(id, known)| to_response(id, known))
            .collect::<Vec<_>>()
    };
    let response = response.with_unknown_state_filters(unknown);
    match value_or_code("", ctx.transactions.look_at_all(look).await.map(Ok), true) {
        Ok(listed) => response.with_transaction_states(listed.into_iter().flatten().collect()),
        Err(code) => response.with_error_code(code.code()),
    }
}

/// The pattern of the ids that are asked for; `None` for all.
fn pattern_of(asked: Option<&str>) -> Result<Option<Regex>, regex_lite::Error> {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
        return Ok(None);
    };
    // Compiled alone first, so that none of its parentheses closes the one around it below.
    Regex::new(asked)?;
    Regex::new(&format!(r"\A(?:{asked})\z")).map(Some)
}

/// Whether the transaction has been open for longer than this; a negative duration matches all.
fn is_open_for(known: &Transaction, now: Timestamp, duration_ms: i64) -> bool {
    duration_ms < 0
        || known.started != Timestamp::NONE && now.0.saturating_sub(known.started.0) > duration_ms
}

fn to_response(id: &str, known: &Transaction) -> TransactionState {
    TransactionState::default()
        .with_transactional_id(TransactionalId(text(id)))
        .with_producer_id(ProducerId(known.producer.id.0))
        .with_transaction_state(text(known.status.name()))
}
