use brooklet_protocol::messages::kafka::create_acls_request::AclCreation;
use brooklet_protocol::messages::kafka::delete_acls_request::DeleteAclsFilter;
use brooklet_protocol::messages::kafka::describe_user_scram_credentials_request::UserName;
use brooklet_protocol::messages::kafka::{
    CreateAclsRequest, CreateDelegationTokenRequest, DeleteAclsRequest, DescribeAclsRequest,
    DescribeClientQuotasRequest, DescribeDelegationTokenRequest,
    DescribeUserScramCredentialsRequest, ExpireDelegationTokenRequest, RenewDelegationTokenRequest,
    SaslAuthenticateRequest, SaslHandshakeRequest,
};

use brooklet_protocol::messages::{RequestKind, ResponseKind, StrBytes};

use super::Fixture;
use crate::api::table;

const SECURITY_DISABLED: i16 = 54;
const ILLEGAL_SASL_STATE: i16 = 34;
const DELEGATION_TOKEN_REQUEST_NOT_ALLOWED: i16 = 64;
const RESOURCE_NOT_FOUND: i16 = 91;

/// The answer in the last version; in each that is served it can be encoded.
async fn answer_of(api_key: i16, request: RequestKind) -> ResponseKind {
    let fixture = Fixture::start().await;
    let row = table::find(api_key).expect("it is served");
    for version in row.version_min..row.version_max {
        fixture.call(version, request.clone()).await;
    }
    fixture.call(row.version_max, request).await
}

#[tokio::test]
async fn each_acl_is_refused_as_without_an_authorizer() {
    let request = DescribeAclsRequest::default();
    let ResponseKind::DescribeAcls(described) =
        answer_of(29, RequestKind::DescribeAcls(request)).await
    else {
        panic!("another answer");
    };
    assert_eq!(described.error_code, SECURITY_DISABLED);
    let message = described.error_message.unwrap();
    assert_eq!(
        message.as_str(),
        "No Authorizer is configured on the broker"
    );

    let creations = vec![AclCreation::default(); 2];
    let request = CreateAclsRequest::default().with_creations(creations);
    let ResponseKind::CreateAcls(created) = answer_of(30, RequestKind::CreateAcls(request)).await
    else {
        panic!("another answer");
    };
    let codes: Vec<_> = created.results.iter().map(|r| r.error_code).collect();
    assert_eq!(codes, [SECURITY_DISABLED; 2]);

    let filters = vec![DeleteAclsFilter::default(); 3];
    let request = DeleteAclsRequest::default().with_filters(filters);
    let ResponseKind::DeleteAcls(deleted) = answer_of(31, RequestKind::DeleteAcls(request)).await
    else {
        panic!("another answer");
    };
    let codes: Vec<_> = deleted
        .filter_results
        .iter()
        .map(|r| r.error_code)
        .collect();
    assert_eq!(codes, [SECURITY_DISABLED; 3]);
}

#[tokio::test]
async fn sasl_is_refused_and_no_mechanism_offered() {
    let request = RequestKind::SaslHandshake(SaslHandshakeRequest::default());
    let ResponseKind::SaslHandshake(answer) = answer_of(17, request).await else {
        panic!("another answer");
    };
    assert_eq!(answer.error_code, ILLEGAL_SASL_STATE);
    assert!(answer.mechanisms.is_empty());
    let request = RequestKind::SaslAuthenticate(SaslAuthenticateRequest::default());
    let ResponseKind::SaslAuthenticate(answer) = answer_of(36, request).await else {
        panic!("another answer");
    };
    assert_eq!(answer.error_code, ILLEGAL_SASL_STATE);
}

#[tokio::test]
async fn nobody_gets_a_delegation_token() {
    let renew = RenewDelegationTokenRequest::default();
    let expire = ExpireDelegationTokenRequest::default();
    let describe = DescribeDelegationTokenRequest::default();
    let create = CreateDelegationTokenRequest::default();
    let requests = [
        (38, RequestKind::CreateDelegationToken(create)),
        (39, RequestKind::RenewDelegationToken(renew)),
        (40, RequestKind::ExpireDelegationToken(expire)),
        (41, RequestKind::DescribeDelegationToken(describe)),
    ];
    for (key, request) in requests {
        let code = match answer_of(key, request).await {
            ResponseKind::CreateDelegationToken(answer) => answer.error_code,
            ResponseKind::RenewDelegationToken(answer) => answer.error_code,
            ResponseKind::ExpireDelegationToken(answer) => answer.error_code,
            ResponseKind::DescribeDelegationToken(answer) => answer.error_code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code, DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, "{key}");
    }
}

#[tokio::test]
async fn there_are_no_quotas_and_no_credentials() {
    let request = RequestKind::DescribeClientQuotas(DescribeClientQuotasRequest::default());
    let ResponseKind::DescribeClientQuotas(quotas) = answer_of(48, request).await else {
        panic!("another answer");
    };
    assert_eq!((quotas.error_code, quotas.entries), (0, Some(Vec::new())));
    let alice = UserName::default().with_name(StrBytes::from_static_str("alice"));
    for (users, expected) in [(None, &[][..]), (Some(vec![alice]), &[RESOURCE_NOT_FOUND])] {
        let request = DescribeUserScramCredentialsRequest::default().with_users(users);
        let request = RequestKind::DescribeUserScramCredentials(request);
        let ResponseKind::DescribeUserScramCredentials(answer) = answer_of(50, request).await
        else {
            panic!("another answer");
        };
        assert_eq!(answer.error_code, 0);
        let codes: Vec<_> = answer.results.iter().map(|r| r.error_code).collect();
        assert_eq!(codes, expected);
    }
}
