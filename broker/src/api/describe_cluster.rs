//! DescribeCluster (60), versions 0 to 2: this broker, which is the whole cluster (KIP-700).
//!
//! From version 1 on a client may ask for controllers instead of brokers. There are no separate
//! ones: UNSUPPORTED_ENDPOINT_TYPE, as from a Kafka broker.

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::describe_cluster_response::DescribeClusterBroker;
use brooklet_protocol::messages::kafka::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse,
};

use super::call::Call;
use super::context::ApiContext;
use super::groups::text;

const BROKERS: i8 = 1;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<DescribeClusterRequest>,
) -> DescribeClusterResponse {
    if version >= 1 && request.endpoint_type != BROKERS {
        return DescribeClusterResponse::default()
            .with_error_code(ErrorCode::UnsupportedEndpointType.code())
            .with_error_message(Some(text("expected endpoint type 1 (brokers)")));
    }
    let image = ctx.controller.image();
    let id = BrokerId(image.broker_id.0);
    let broker = DescribeClusterBroker::default()
        .with_broker_id(id)
        .with_host(text(&ctx.settings.advertised_host))
        .with_port(ctx.settings.advertised_port);
    DescribeClusterResponse::default()
        .with_cluster_id(text(&image.cluster_id))
        .with_controller_id(id)
        .with_brokers(vec![broker])
}
