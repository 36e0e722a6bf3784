//! Every shape against `kafka-protocol`, and every way to lie about a length.
//!
//! A message is written out from its shape alone; if `kafka-protocol` decodes it to the last byte
//! and encodes what it decoded to the same bytes, then shape, decoder and encoder agree.

use kafka::{
    ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, ProduceRequest, ResponseHeader,
    produce_request::{PartitionProduceData, TopicProduceData},
};
use proptest::prelude::*;

use super::shape::{field, struct_bytes_min};
use super::walk::ELEMENTS_MAX;
use super::*;

/// Writes a message out from its shape.
struct Sample {
    version: i16,
    flexible: bool,
    /// Elements in each array.
    count: usize,
    /// Whether what can be null is.
    null: bool,
    out: Vec<u8>,
}

impl Sample {
    fn body(shape: &Shape, version: i16, count: usize, null: bool) -> Vec<u8> {
        let mut sample = Self {
            version,
            flexible: shape.is_flexible(version),
            count,
            null,
            out: Vec::new(),
        };
        sample.fields(shape.fields);
        sample.out
    }

    fn fields(&mut self, fields: &[Field]) {
        let present = |field: &&Field| field.is_in(self.version);
        let present: Vec<_> = fields.iter().filter(present).collect();
        for field in present.iter().filter(|field| field.tag.is_none()) {
            self.value(field);
        }
        if self.flexible {
            let tagged = present.iter().filter(|field| self.writes_tag(field));
            self.tags(&tagged.collect::<Vec<_>>());
        }
    }

    /// Encoders leave a tagged field out when it has its default: null, empty.
    fn writes_tag(&self, field: &Field) -> bool {
        let null = field.nullable && self.null;
        let empty = matches!(field.kind, Kind::Structs(_)) && self.count == 0;
        field.tag.is_some() && !null && !empty
    }

    /// The known ones, then one that nobody knows.
    fn tags(&mut self, fields: &[&&Field]) {
        self.out.push(fields.len() as u8 + 1);
        for field in fields {
            let before = std::mem::take(&mut self.out);
            self.value(field);
            let value = std::mem::replace(&mut self.out, before);
            self.out.push(field.tag.unwrap() as u8);
            self.uvarint(value.len());
            self.out.extend(value);
        }
        self.out.extend([99, 3, 7, 7, 7]);
    }

    fn value(&mut self, field: &Field) {
        match field.kind {
            Kind::Bool => self.out.push(1),
            Kind::Struct(_) if field.nullable && self.null => self.out.push(0xff),
            Kind::Struct(fields) => {
                self.out.extend(field.nullable.then_some(1));
                self.fields(fields);
            }
            Kind::Structs(fields) => self.array(field, |sample| sample.fields(fields)),
            Kind::Strings => self.array(field, |sample| sample.text(2, b"jfk")),
            Kind::Int32s => self.array(field, |sample| sample.out.extend([0, 0, 1, 2])),
            Kind::Int8s => self.array(field, |sample| sample.out.push(3)),
            Kind::Int64s => self.array(field, |sample| sample.out.extend([0, 0, 0, 0, 0, 0, 1, 2])),
            Kind::String | Kind::Bytes if field.nullable && self.null => {
                self.length(
                    if matches!(field.kind, Kind::String) {
                        2
                    } else {
                        4
                    },
                    None,
                );
            }
            Kind::String => self.text(2, b"ewr"),
            Kind::Bytes => self.text(4, b"records"),
            Kind::HeaderString => unreachable!("only headers have one"),
            number => {
                let size = number.bytes_min(self.version, self.flexible);
                // Numbers that differ, so that a shift by a byte shows.
                let from = self.out.len() as u8 & 0x3f;
                self.out.extend((0..size as u8).map(|at| from + at + 1));
            }
        }
    }

    fn array(&mut self, field: &Field, element: impl Fn(&mut Self)) {
        let null = field.nullable && self.null;
        self.length(4, (!null).then_some(self.count));
        if !null {
            (0..self.count).for_each(|_| element(self));
        }
    }

    fn text(&mut self, size: usize, text: &[u8]) {
        self.length(size, Some(text.len()));
        self.out.extend(text);
    }

    fn length(&mut self, size: usize, length: Option<usize>) {
        if self.flexible {
            self.uvarint(length.map_or(0, |length| length + 1));
        } else {
            let length = length.map_or(-1, |length| length as i64);
            self.out.extend(&length.to_be_bytes()[8 - size..]);
        }
    }

    fn uvarint(&mut self, value: usize) {
        self.out.extend(uvarint(value as u32));
    }
}

fn uvarint(mut value: u32) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn requests() -> impl Iterator<Item = &'static Shape> {
    APIS.iter().map(|api| &api.request)
}

fn responses() -> impl Iterator<Item = &'static Shape> {
    APIS.iter().map(|api| &api.response)
}

/// Each of `shapes` in every version.
fn versions(
    shapes: impl Iterator<Item = &'static Shape>,
) -> impl Iterator<Item = (&'static Shape, i16)> {
    shapes.flat_map(|shape| {
        (shape.versions.0..=shape.versions.1).map(move |version| (shape, version))
    })
}

/// Of an API that is served, from bytes that fit.
fn decoded<T>(kind: Option<Result<T, String>>) -> T {
    kind.expect("served").expect("well-formed")
}

fn sample_request(shape: &Shape, version: i16, count: usize) -> Request {
    let mut body = Bytes::from(Sample::body(shape, version, count, false));
    Request {
        version,
        client_id: Some(StrBytes::from_static_str("sample")),
        body: decoded(RequestKind::decode(shape.api, &mut body, version)),
    }
}

/// Without the four bytes of its length.
fn request_frame(request: &Request) -> Bytes {
    let mut out = BytesMut::new();
    encode_request(&mut out, 7, request).unwrap();
    out.freeze().split_off(4)
}

fn response_frame(shape: &Shape, version: i16, count: usize) -> Bytes {
    let mut body = Bytes::from(Sample::body(shape, version, count, false));
    let response = decoded(ResponseKind::decode(shape.api, &mut body, version));
    let mut out = BytesMut::new();
    encode_response(&mut out, 7, version, &response).unwrap();
    out.freeze().split_off(4)
}

/// Where arrays begin in a body, by the walk.
fn array_positions(shape: &Shape, version: i16, body: &[u8]) -> Vec<usize> {
    let mut positions = Vec::new();
    let mut see = |field: &Field, left: usize| {
        if matches!(
            field.kind,
            Kind::Structs(_) | Kind::Strings | Kind::Int8s | Kind::Int32s | Kind::Int64s
        ) {
            positions.push(body.len() - left);
        }
    };
    let mut walk = Walk::new(body, version, shape.is_flexible(version));
    walk.fields(shape.fields, &mut see).unwrap();
    positions
}

/// `body` with each of its arrays' counts in turn replaced by one that lies.
fn lying_counts(shape: &Shape, version: i16, body: &[u8]) -> Vec<Vec<u8>> {
    let flexible = shape.is_flexible(version);
    let mut lies = Vec::new();
    for at in array_positions(shape, version, body) {
        // Counts of a sample are so small that theirs is one byte.
        let after = at + if flexible { 1 } else { 4 };
        for count in [i32::MAX as u32, u32::MAX, 1000] {
            // As a fixed-width count this is -1: null, and no lie.
            if !flexible && count == u32::MAX {
                continue;
            }
            let count = if flexible {
                uvarint(count)
            } else {
                count.to_be_bytes().into()
            };
            lies.push([&body[..at], &count, &body[after..]].concat());
        }
    }
    lies
}

#[test]
fn request_shapes_agree_with_kafka_protocol() {
    for (shape, version) in versions(requests()) {
        for (count, null) in [(0, false), (1, false), (3, false), (2, true)] {
            let body = Sample::body(shape, version, count, null);
            let mut rest = Bytes::from(body.clone());
            let kind = decoded(RequestKind::decode(shape.api, &mut rest, version));
            assert!(rest.is_empty(), "{:?} {version}", shape.api);
            let mut again = BytesMut::new();
            kind.encode(&mut again, version).unwrap();
            assert_eq!(again, body, "{:?} {version}", shape.api);
            let mut walk = Walk::new(&body, version, shape.is_flexible(version));
            let walked = walk
                .fields(shape.fields, &mut |_, _| ())
                .map(|()| walk.bytes_left());
            assert_eq!(walked, Ok(0), "{:?} {version}", shape.api);
        }
    }
}

#[test]
fn response_shapes_agree_with_kafka_protocol() {
    for (shape, version) in versions(responses()) {
        for (count, null) in [(0, false), (1, false), (3, false), (2, true)] {
            let body = Sample::body(shape, version, count, null);
            let mut rest = Bytes::from(body.clone());
            let kind = decoded(ResponseKind::decode(shape.api, &mut rest, version));
            assert!(rest.is_empty(), "{:?} {version}", shape.api);
            let mut again = BytesMut::new();
            kind.encode(&mut again, version).unwrap();
            assert_eq!(again, body, "{:?} {version}", shape.api);
            let mut walk = Walk::new(&body, version, shape.is_flexible(version));
            let walked = walk
                .fields(shape.fields, &mut |_, _| ())
                .map(|()| walk.bytes_left());
            assert_eq!(walked, Ok(0), "{:?} {version}", shape.api);
        }
    }
}

#[test]
fn fields_have_the_names_of_kafka_protocol() {
    fn check(fields: &[Field], debug: &str) {
        for field in fields {
            assert!(
                debug.contains(&format!("{}: ", field.name)),
                "{}",
                field.name
            );
            if let Kind::Struct(fields) | Kind::Structs(fields) = field.kind {
                check(fields, debug);
            }
        }
    }
    for (requests, responses) in requests().zip(responses()) {
        // Between them the versions fill every array.
        let (mut asked, mut answered) = (Vec::new(), Vec::new());
        for version in requests.versions.0..=requests.versions.1 {
            let mut body = Sample::body(requests, version, 1, false).into();
            let request = RequestKind::decode(requests.api, &mut body, version).unwrap();
            asked.push(format!("{request:?}"));
            let mut body = Sample::body(responses, version, 1, false).into();
            let response = ResponseKind::decode(responses.api, &mut body, version).unwrap();
            answered.push(format!("{response:?}"));
        }
        check(requests.fields, &asked.concat());
        check(responses.fields, &answered.concat());
    }
}

#[test]
fn versions_are_those_of_kafka_protocol() {
    for (request, response) in requests().zip(responses()) {
        assert_eq!(request.api, response.api);
        assert_eq!(request.versions, response.versions);
        let mut known = request.api.valid_versions();
        // It knows versions of the response that it does not know of the request.
        match request.api {
            ApiKey::InitProducerId => known.max = 5,
            ApiKey::OffsetCommit | ApiKey::OffsetFetch => known.max = 9,
            _ => {}
        }
        assert_eq!(api_versions(request.api), (known.min, known.max));
        for version in known.min..=known.max {
            let header = request.api.request_header_version(version);
            assert_eq!(header == 2, request.is_flexible(version));
            let header = request.api.response_header_version(version);
            let flexible = response.is_flexible(version) && response.api != ApiKey::ApiVersions;
            assert_eq!(header == 1, flexible);
        }
    }
    assert_eq!(api_versions(ApiKey::Vote), (0, 2));
}

#[test]
fn a_request_cut_at_any_byte_is_malformed() {
    for (shape, version) in versions(requests()) {
        let request = sample_request(shape, version, 2);
        let frame = request_frame(&request);
        assert_eq!(decode_request(frame.clone()), Ok((7, request)));
        for cut in 0..frame.len() {
            let result = decode_request(frame.slice(..cut));
            assert!(
                matches!(result, Err(MessageError::Malformed(_))),
                "{:?} {cut}",
                shape.api
            );
        }
    }
}

/// As librdkafka 2.0 does, and as Kafka takes it.
#[test]
fn bytes_after_the_last_field_are_ignored() {
    for (shape, version) in versions(requests()) {
        let request = sample_request(shape, version, 2);
        let longer = [&request_frame(&request)[..], &[0, 1, 2]].concat();
        assert_eq!(decode_request(longer.into()), Ok((7, request)));
    }
}

#[test]
fn a_response_cut_at_any_byte_is_malformed() {
    for (shape, version) in versions(responses()) {
        let frame = response_frame(shape, version, 2);
        assert!(decode_response(frame.clone(), shape.api, version).is_ok());
        for cut in 0..frame.len() {
            let result = decode_response(frame.slice(..cut), shape.api, version);
            assert!(
                matches!(result, Err(MessageError::Malformed(_))),
                "{:?} {cut}",
                shape.api
            );
        }
    }
}

/// Without the walk this test does not fail: its process is killed for want of memory.
#[test]
fn counts_that_lie_are_refused() {
    let mut lies = 0;
    for (shape, version) in versions(requests()) {
        let request = sample_request(shape, version, 2);
        let mut body = BytesMut::new();
        request.body.encode(&mut body, version).unwrap();
        let frame = request_frame(&request);
        let header = &frame[..frame.len() - body.len()];
        for lie in lying_counts(shape, version, &body) {
            let result = decode_request([header, &lie].concat().into());
            assert!(
                matches!(result, Err(MessageError::Malformed(_))),
                "{:?}",
                shape.api
            );
            lies += 1;
        }
    }
    for (shape, version) in versions(responses()) {
        let body = Sample::body(shape, version, 2, false);
        let frame = response_frame(shape, version, 2);
        let header = &frame[..frame.len() - body.len()];
        for lie in lying_counts(shape, version, &body) {
            let lie = [header, &lie].concat().into();
            let result = decode_response(lie, shape.api, version);
            assert!(
                matches!(result, Err(MessageError::Malformed(_))),
                "{:?}",
                shape.api
            );
            lies += 1;
        }
    }
    assert!(lies > 1000, "{lies}");
}

#[test]
fn the_elements_of_one_message_are_bounded() {
    let names = |count: usize| {
        let mut frame = vec![0, 3, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
        frame.extend((count as u32).to_be_bytes());
        frame.resize(frame.len() + 2 * count, 0);
        decode_request(frame.into())
    };
    assert!(names(ELEMENTS_MAX).is_ok());
    assert_eq!(
        names(ELEMENTS_MAX + 1).unwrap_err().to_string(),
        "malformed message: Metadata version 0: topics: the message has more than 262144 elements"
    );
}

#[test]
fn a_fault_names_its_place() {
    let records = |records: &'static [u8]| {
        let partition = PartitionProduceData::default().with_records(Some(records.into()));
        TopicProduceData::default()
            .with_name(StrBytes::from_static_str("flights").into())
            .with_partition_data(vec![partition])
    };
    let body = ProduceRequest::default().with_topic_data(vec![records(b"one"), records(b"two")]);
    let request = Request {
        version: 3,
        client_id: None,
        body: body.into(),
    };
    let frame = request_frame(&request);
    let error = decode_request(frame.slice(..frame.len() - 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "malformed message: Produce version 3: topic_data[1].partition_data[0].records: \
         a length goes beyond the bytes that are there"
    );
}

#[test]
fn a_count_is_measured_by_the_bytes_left() {
    // Metadata version 0 with three topics in five bytes, which hold two empty names.
    let frame: &[u8] = &[
        0, 3, 0, 0, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 3, 0, 0, 0, 0, 0,
    ];
    assert_eq!(
        decode_request(frame.into()).unwrap_err().to_string(),
        "malformed message: Metadata version 0: topics: count is 3, but the bytes left hold at most 2 elements"
    );
}

#[test]
fn tags_are_in_order_and_use_their_size() {
    let walk = |bytes: &[u8]| {
        let fields = [
            field("rack", Kind::String).tagged(1),
            field("port", Kind::Int16).tagged(4).since(5),
        ];
        let mut walk = Walk::new(bytes, 3, true);
        let walked = walk
            .fields(&fields, &mut |_, _| ())
            .map(|()| walk.bytes_left());
        walked.map_err(|fault| fault.to_string())
    };
    assert_eq!(
        walk(&[2, 1, 2, 2, b'a', 4, 1, 0]),
        Ok(0),
        "tag 4 is not known before version 5"
    );
    assert_eq!(
        walk(&[1, 1, 3, 2, b'a', 0]),
        Err("tags.rack: tag size is 3, but its value has 2 bytes".into())
    );
    assert_eq!(
        walk(&[2, 9, 0, 9, 0]),
        Err("tags: tag 9 is out of order, expected at least 10".into())
    );
    let beyond = "tags: a length goes beyond the bytes that are there";
    assert_eq!(
        walk(&[1, 9, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        Err(beyond.into())
    );
    assert_eq!(
        walk(&[0xff, 0xff, 0xff, 0xff, 0x1f]).unwrap_err(),
        "tags: a varint is too long for its type"
    );
    assert!(
        walk(&[0xff, 0xff, 0xff, 0xff, 0x0f])
            .unwrap_err()
            .contains("more than 262144")
    );
}

#[test]
fn null_is_refused_where_the_schema_has_none() {
    // ListOffsets version 1, with null topics.
    let frame: &[u8] = &[
        0, 2, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
    ];
    assert_eq!(
        decode_request(frame.into()).unwrap_err().to_string(),
        "malformed message: ListOffsets version 1: topics: null is not allowed here"
    );
    // The same with -2.
    let frame: &[u8] = &[
        0, 2, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe,
    ];
    assert_eq!(
        decode_request(frame.into()).unwrap_err().to_string(),
        "malformed message: ListOffsets version 1: topics: length is -2, expected at least -1"
    );
}

#[test]
fn a_struct_is_there_or_null_and_nothing_else() {
    let cursor = |presence: u8| {
        // DescribeTopicPartitions without topics, at most 0 partitions, a cursor.
        let head: &[u8] = &[0, 75, 0, 0, 0, 0, 0, 7, 0xff, 0xff, 0, 1, 0, 0, 0, 0];
        let rest: &[u8] = if presence == 1 {
            &[1, 0, 0, 0, 9, 0, 0]
        } else {
            &[0]
        };
        decode_request([head, &[presence], rest].concat().into())
    };
    let page = |presence| match cursor(presence).unwrap().1.body {
        RequestKind::DescribeTopicPartitions(body) => body.cursor.map(|at| at.partition_index),
        other => panic!("{other:?}"),
    };
    assert_eq!((page(1), page(0xff)), (Some(9), None));
    for presence in [0, 2, 0xfe] {
        assert_eq!(
            cursor(presence).unwrap_err().to_string(),
            format!(
                "malformed message: DescribeTopicPartitions version 0: cursor: presence byte is {}, expected 1 or -1",
                presence as i8
            )
        );
    }
}

#[test]
fn an_array_of_nothing_cannot_be() {
    fn check(fields: &[Field], version: i16, flexible: bool) {
        for field in fields.iter().filter(|field| field.is_in(version)) {
            if let Kind::Struct(fields) | Kind::Structs(fields) = field.kind {
                assert!(
                    struct_bytes_min(fields, version, flexible) > 0,
                    "{}",
                    field.name
                );
                check(fields, version, flexible);
            }
        }
    }
    for (shape, version) in versions(requests()).chain(versions(responses())) {
        check(shape.fields, version, shape.is_flexible(version));
    }
}

#[test]
fn what_is_not_served_is_refused_by_name() {
    let prefix = |key: i16, version: i16| {
        let mut frame = BytesMut::new();
        frame.put_i16(key);
        frame.put_i16(version);
        frame.put_i32(7);
        decode_request(frame.freeze()).unwrap_err()
    };
    assert_eq!(prefix(999, 0), MessageError::UnknownApi(999));
    let unsupported = MessageError::Unsupported { api: ApiKey::Vote };
    assert_eq!(prefix(52, 0), unsupported);
    for (key, version, api) in [
        (18, 5, ApiKey::ApiVersions),
        (18, -1, ApiKey::ApiVersions),
        (0, 2, ApiKey::Produce),
        (22, 6, ApiKey::InitProducerId),
    ] {
        let unknown = MessageError::UnknownVersion {
            api,
            version,
            correlation_id: 7,
        };
        assert_eq!(prefix(key, version), unknown);
    }
}

#[test]
fn a_failed_encoding_leaves_no_trace() {
    let mut out = BytesMut::from(&b"before"[..]);
    let request = Request {
        version: 2,
        client_id: None,
        body: ProduceRequest::default().into(),
    };
    assert!(encode_request(&mut out, 7, &request).is_err());
    assert!(encode_response(&mut out, 7, 99, &ApiVersionsResponse::default().into()).is_err());
    assert_eq!(out, b"before"[..]);
}

#[test]
fn api_versions_answers_without_tags_in_the_header() {
    let request = Request {
        version: 4,
        client_id: None,
        body: ApiVersionsRequest::default().into(),
    };
    assert_eq!(
        request_frame(&request)[8..11],
        [0xff, 0xff, 0],
        "a request has them"
    );
    let mut out = BytesMut::new();
    encode_response(&mut out, 7, 4, &ApiVersionsResponse::default().into()).unwrap();
    // Length, correlation id, error code, no api keys, throttle time, no tags.
    assert_eq!(out[..], [0, 0, 0, 12, 0, 0, 0, 7, 0, 0, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn records_are_slices_of_the_frame() {
    let shape = request_shape(ApiKey::Produce).unwrap();
    let frame = request_frame(&sample_request(shape, 9, 1));
    let range = frame.as_ptr_range();
    let (_, request) = decode_request(frame.clone()).unwrap();
    let RequestKind::Produce(produce) = request.body else {
        panic!("a produce request");
    };
    let records = produce.topic_data[0].partition_data[0]
        .records
        .as_ref()
        .unwrap();
    assert!(range.contains(&records.as_ptr()));
}

#[test]
fn tags_in_a_header_are_skipped() {
    let mut frame = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(3)
        .with_request_api_version(9)
        .with_correlation_id(7)
        .with_unknown_tagged_field(5, Bytes::from_static(b"new"));
    header.encode(&mut frame, 2).unwrap();
    let body = MetadataRequest::default();
    body.encode(&mut frame, 9).unwrap();
    assert_eq!(decode_request(frame.freeze()).unwrap().1.body, body.into());

    let mut frame = BytesMut::new();
    let header = ResponseHeader::default()
        .with_correlation_id(7)
        .with_unknown_tagged_field(5, Bytes::from_static(b"new"));
    header.encode(&mut frame, 1).unwrap();
    let body = kafka::MetadataResponse::default();
    body.encode(&mut frame, 9).unwrap();
    let (correlation_id, response) = decode_response(frame.freeze(), ApiKey::Metadata, 9).unwrap();
    assert_eq!((correlation_id, response), (7, body.into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_decode_safely(
        key in prop::sample::select(vec![0_u8, 1, 2, 3, 10, 18, 19, 20, 22]),
        version in 0..19_u8,
        prefixed: bool,
        bytes: Vec<u8>,
    ) {
        let prefix: &[u8] = &[0, key, 0, version, 0, 0, 0, 7, 0xff, 0xff, 0];
        let frame = if prefixed { [prefix, &bytes].concat() } else { bytes.clone() };
        drop(decode_request(frame.into()));
        let api = ApiKey::try_from(i16::from(key)).unwrap();
        drop(decode_response(bytes.into(), api, i16::from(version)));
    }

    #[test]
    fn changed_bytes_decode_safely(
        index in 0..APIS.len(),
        version: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (shape, answer) = (&APIS[index].request, &APIS[index].response);
        let (first, last) = shape.versions;
        let version = first + version.index((last - first + 1) as usize) as i16;
        let mut frame = request_frame(&sample_request(shape, version, 2)).to_vec();
        let mut response = response_frame(answer, version, 2).to_vec();
        for (at, byte) in changes {
            let end = frame.len();
            frame[at.index(end)] = byte;
            let end = response.len();
            response[at.index(end)] = byte;
        }
        drop(decode_request(frame.into()));
        drop(decode_response(response.into(), shape.api, version));
    }
}
