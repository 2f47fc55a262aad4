//! What becomes of one batch of spans, by what the collector says: by HTTP and by gRPC, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    convert::Infallible,
    io::Read as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use flate2::read::GzDecoder;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;
use support::facts;
use syntrace_bridge::{
    ingest,
    otlp::{Client, Protocol, SendError, Settings, Taken},
    spans,
};
use syntrace_core::{Limits, Reconciler};
use tokio::net::TcpListener;
use tonic::{Code, Request, Response, Status, codec::CompressionEncoding};

/// What came, and what is answered.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Exchange>>);

#[derive(Default)]
struct Exchange {
    batches: Vec<ExportTraceServiceRequest>,
    headers: Vec<HeaderMap>,
    status: StatusCode,
    code: Option<Code>,
    rejected: i64,
}

#[tokio::test]
async fn both_transports_bring_the_same_spans_with_headers_and_resource() {
    for (protocol, gzip) in [
        (Protocol::HttpProtobuf, false),
        (Protocol::HttpProtobuf, true),
        (Protocol::Grpc, false),
        (Protocol::Grpc, true),
    ] {
        let collector = Collector::default();
        let mut settings = collector.listen(protocol).await;
        settings.gzip = gzip;
        settings.headers = "x-tenant=seven".parse().unwrap();
        settings.service_name = "gateway".to_owned();
        let client = Client::new(&settings).unwrap();
        let sent = story();
        let count = sent.len();
        assert_eq!(client.send(sent).await.unwrap(), Taken::default());

        let exchange = collector.0.lock().unwrap();
        assert_eq!(exchange.headers[0]["x-tenant"], "seven");
        let resource = &exchange.batches[0].resource_spans[0];
        let spans = &resource.scope_spans[0].spans;
        assert_eq!(spans.len(), count, "{protocol:?} {gzip}");
        let attributes = &resource.resource.as_ref().unwrap().attributes;
        let name = attributes.iter().find(|pair| pair.key == "service.name");
        assert!(format!("{name:?}").contains("gateway"));
    }
}

#[tokio::test]
async fn spans_that_the_collector_rejects_of_a_batch_are_told() {
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        let collector = Collector::default();
        collector.0.lock().unwrap().rejected = 2;
        let client = Client::new(&collector.listen(protocol).await).unwrap();
        assert_eq!(client.send(story()).await.unwrap(), Taken { rejected: 2 });
    }
}

#[tokio::test]
async fn a_collector_that_is_busy_may_be_asked_again_and_one_that_refuses_may_not() {
    let cases = [
        (
            Protocol::HttpProtobuf,
            StatusCode::SERVICE_UNAVAILABLE,
            None,
            true,
        ),
        (Protocol::HttpProtobuf, StatusCode::BAD_REQUEST, None, false),
        (
            Protocol::Grpc,
            StatusCode::OK,
            Some(Code::Unavailable),
            true,
        ),
        (
            Protocol::Grpc,
            StatusCode::OK,
            Some(Code::InvalidArgument),
            false,
        ),
    ];
    for (protocol, status, code, again) in cases {
        let collector = Collector::default();
        {
            let mut exchange = collector.0.lock().unwrap();
            exchange.status = status;
            exchange.code = code;
        }
        let client = Client::new(&collector.listen(protocol).await).unwrap();
        let error = client.send(story()).await.unwrap_err();
        assert_eq!(matches!(error, SendError::Later { .. }), again, "{error}");
    }
}

#[tokio::test]
async fn a_collector_that_is_not_there_or_silent_may_be_asked_again() {
    // Bound, so that nobody else takes the port; not accepting, so that nothing answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap().to_string();
    drop(gone);
    for address in [address, silent] {
        for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
            let mut settings = Settings::of_base(&format!("http://{address}"), protocol);
            settings.timeout = Duration::from_millis(200);
            let client = Client::new(&settings).unwrap();
            let error = client.send(story()).await.unwrap_err();
            assert!(matches!(error, SendError::Later { .. }), "{error:?}");
        }
    }
}

impl Collector {
    async fn listen(&self, protocol: Protocol) -> Settings {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        match protocol {
            Protocol::HttpProtobuf => {
                let app = Router::new().route("/v1/traces", post(take));
                let app = app.with_state(self.clone());
                tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
            }
            Protocol::Grpc => {
                tokio::spawn(serve_grpc(listener, self.clone()));
            }
        }
        Settings::of_base(&url, protocol)
    }

    fn answer(&self) -> ExportTraceServiceResponse {
        let rejected_spans = self.0.lock().unwrap().rejected;
        ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans,
                error_message: String::new(),
            }),
        }
    }
}

async fn take(
    State(collector): State<Collector>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Vec<u8>) {
    let mut plain = Vec::new();
    if headers.contains_key("content-encoding") {
        GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
    } else {
        plain = body.to_vec();
    }
    let status = {
        let mut exchange = collector.0.lock().unwrap();
        exchange.headers.push(headers);
        let batch = ExportTraceServiceRequest::decode(&*plain).unwrap();
        exchange.batches.push(batch);
        exchange.status
    };
    (status, collector.answer().encode_to_vec())
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let code = {
            let mut exchange = self.0.lock().unwrap();
            exchange
                .headers
                .push(request.metadata().clone().into_headers());
            exchange.batches.push(request.into_inner());
            exchange.code
        };
        match code {
            Some(code) => Err(Status::new(code, "as ordered")),
            None => Ok(Response::new(self.answer())),
        }
    }
}

async fn serve_grpc(listener: TcpListener, collector: Collector) -> Infallible {
    let service = TraceServiceServer::new(collector).accept_compressed(CompressionEncoding::Gzip);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new()).http2_only();
            // An error is the client's going away.
            drop(
                builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}

fn story() -> Vec<SpanData> {
    let batch = ingest::decode(&facts::story().encode_to_vec()).unwrap();
    let mut reconciler = Reconciler::new(Limits::default());
    reconciler.handle_batch(batch);
    reconciler.drain();
    std::iter::from_fn(|| reconciler.poll_output())
        .flat_map(|output| spans::of(&output))
        .collect()
}
