//! A stand-in for a Qdrant server: the gRPC services that the index uses, each collection a shard of the embedded engine.
//! What it does not know it refuses aloud. It answers as the real one does where the index depends on it: keys, TLS,
//! collections that are missing, payload kept beside vectors.

use madang_search::QdrantServer;
use qdrant_client::qdrant as wire;
use qdrant_client::qdrant::collections_server::{Collections, CollectionsServer};
use qdrant_client::qdrant::points_server::{Points, PointsServer};
use qdrant_edge as edge;
use qdrant_edge::external::ordered_float::OrderedFloat;
use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tempfile::TempDir;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// How the stand-in behaves.
#[derive(Default, Clone)]
pub struct Manner {
    /// Without it every request is refused.
    pub key: Option<String>,
    /// Certificate and key in PEM, and a file with the authority that signed it.
    pub tls: Option<(String, String, std::path::PathBuf)>,
}

/// A running stand-in; ends when dropped.
pub struct StandIn {
    runtime: Option<tokio::runtime::Runtime>,
    port: u16,
    manner: Manner,
    pub rooms: Rooms,
}

/// Its collections.
#[derive(Clone, Default)]
pub struct Rooms {
    all: Arc<Mutex<BTreeMap<String, Room>>>,
    /// Writes from now on that are refused with "unavailable"; counted down.
    pub failing: Arc<AtomicUsize>,
}

pub struct Room {
    shard: edge::EdgeShard,
    metadata: HashMap<String, wire::Value>,
    fields: Vec<String>,
    pub made: wire::CreateCollection,
    _dir: TempDir,
}

impl StandIn {
    pub fn start(manner: Manner) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
        let rooms = Rooms::default();
        let incoming = {
            let _inside = runtime.enter();
            TcpIncoming::bind("127.0.0.1:0".parse().expect("address")).expect("bind")
        };
        let port = incoming.local_addr().expect("address").port();
        let key = manner.key.clone();
        let check = move |request: Request<()>| {
            let given = request.metadata().get("api-key").and_then(|k| k.to_str().ok());
            match &key {
                Some(key) if given != Some(key.as_str()) => Err(Status::unauthenticated("wrong key")),
                _ => Ok(request),
            }
        };
        let mut server = Server::builder();
        if let Some((certificate, key, _)) = &manner.tls {
            server =
                server.tls_config(ServerTlsConfig::new().identity(Identity::from_pem(certificate, key))).expect("tls");
        }
        let served = server
            .add_service(PointsServer::with_interceptor(rooms.clone(), check.clone()))
            .add_service(CollectionsServer::with_interceptor(rooms.clone(), check));
        runtime.spawn(served.serve_with_incoming(incoming));
        Self { runtime: Some(runtime), port, manner, rooms }
    }

    /// What the index must be told to reach it.
    pub fn address(&self) -> QdrantServer {
        let scheme = if self.manner.tls.is_some() { "https" } else { "http" };
        QdrantServer {
            key: self.manner.key.clone(),
            authority: self.manner.tls.as_ref().map(|(_, _, authority)| authority.clone()),
            timeout: Duration::from_secs(20),
            ..QdrantServer::at(format!("{scheme}://localhost:{}", self.port))
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

type Answer<T> = Result<Response<T>, Status>;
type Later<'a, T> = Pin<Box<dyn Future<Output = Answer<T>> + Send + 'a>>;

fn wrong(what: impl std::fmt::Display) -> Status {
    Status::invalid_argument(what.to_string())
}

impl Rooms {
    pub fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Loses a collection, as a damaged disk would.
    pub fn lose(&self, name: &str) {
        self.lock().remove(name);
    }

    /// How a collection was asked for.
    pub fn made(&self, name: &str) -> wire::CreateCollection {
        self.lock().get(name).expect("collection").made.clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Room>> {
        self.all.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn with<T>(&self, name: &str, call: impl FnOnce(&mut Room) -> Result<T, Status>) -> Result<T, Status> {
        match self.lock().get_mut(name) {
            Some(room) => call(room),
            None => Err(Status::not_found(format!("Collection `{name}` doesn't exist!"))),
        }
    }

    fn update(
        &self,
        name: &str,
        wait: Option<bool>,
        operation: edge::UpdateOperation,
    ) -> Answer<wire::PointsOperationResponse> {
        if wait != Some(true) {
            return Err(wrong("the index must wait for its writes"));
        }
        if self.failing.try_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            return Err(Status::unavailable("told to fail"));
        }
        self.with(name, |room| room.shard.update(operation).map_err(wrong))?;
        let result = wire::UpdateResult { operation_id: None, status: wire::UpdateStatus::Completed.into() };
        Ok(Response::new(wire::PointsOperationResponse { result: Some(result), ..Default::default() }))
    }

    fn query(&self, asked: wire::QueryPoints) -> Answer<wire::QueryResponse> {
        use wire::{query::Variant, vector_input::Variant as Input};
        let Some(Variant::Nearest(wire::VectorInput { variant: Some(input) })) = asked.query.and_then(|q| q.variant)
        else {
            return Err(wrong("only nearest vectors"));
        };
        let vector = match input {
            Input::Dense(dense) => edge::VectorInternal::Dense(dense.data),
            Input::Sparse(s) => {
                edge::VectorInternal::Sparse(edge::SparseVector::new(s.indices, s.values).map_err(wrong)?)
            }
            other => return Err(wrong(format!("{other:?}"))),
        };
        let using = asked.using.unwrap_or_default();
        let nearest = edge::QueryEnum::Nearest(edge::NamedQuery::new(vector, using));
        let request = edge::QueryRequest {
            prefetches: Vec::new(),
            query: Some(edge::ScoringQuery::Vector(nearest)),
            filter: asked.filter.map(filter).transpose()?,
            score_threshold: asked.score_threshold.map(OrderedFloat),
            limit: asked.limit.unwrap_or(10) as usize,
            offset: 0,
            params: None,
            with_vector: edge::WithVector::Bool(false),
            with_payload: edge::WithPayloadInterface::Bool(true),
        };
        let found = self.with(&asked.collection_name, |room| room.shard.query(request).map_err(wrong))?;
        let point = |p: edge::ScoredPoint| wire::ScoredPoint {
            id: Some(told_id(p.id)),
            payload: told_payload(p.payload),
            score: p.score,
            ..Default::default()
        };
        Ok(Response::new(wire::QueryResponse { result: found.into_iter().map(point).collect(), ..Default::default() }))
    }
}

fn id(id: Option<wire::PointId>) -> Result<edge::PointId, Status> {
    match id.and_then(|id| id.point_id_options) {
        Some(wire::point_id::PointIdOptions::Uuid(text)) => text.parse().map(edge::PointId::Uuid).map_err(wrong),
        other => Err(wrong(format!("{other:?}"))),
    }
}

fn told_id(id: edge::PointId) -> wire::PointId {
    wire::PointId { point_id_options: Some(wire::point_id::PointIdOptions::Uuid(id.to_string())) }
}

fn payload(fields: HashMap<String, wire::Value>) -> Result<edge::Payload, Status> {
    let mut map = serde_json::Map::new();
    for (field, value) in fields {
        let value = match value.kind {
            Some(wire::value::Kind::StringValue(text)) => serde_json::Value::String(text),
            Some(wire::value::Kind::BoolValue(yes)) => serde_json::Value::Bool(yes),
            other => return Err(wrong(format!("{other:?}"))),
        };
        map.insert(field, value);
    }
    Ok(edge::Payload(map))
}

fn told_payload(payload: Option<edge::Payload>) -> HashMap<String, wire::Value> {
    let value = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => wire::value::Kind::StringValue(text),
        serde_json::Value::Bool(yes) => wire::value::Kind::BoolValue(yes),
        other => panic!("{other}"),
    };
    let fields = payload.map(|p| p.0).unwrap_or_default();
    fields.into_iter().map(|(field, v)| (field, wire::Value { kind: Some(value(v)) })).collect()
}

fn path(field: &str) -> Result<edge::JsonPath, Status> {
    field.parse().map_err(|()| wrong(field))
}

fn condition(condition: wire::Condition) -> Result<edge::Condition, Status> {
    use wire::{condition::ConditionOneOf, r#match::MatchValue};
    let Some(ConditionOneOf::Field(field)) = condition.condition_one_of else { return Err(wrong("only fields")) };
    let value = match field.r#match.and_then(|m| m.match_value) {
        Some(MatchValue::Keywords(any)) => edge::Match::from(any.strings),
        Some(MatchValue::Boolean(yes)) => {
            edge::Match::Value(edge::MatchValue { value: edge::ValueVariants::Bool(yes) })
        }
        other => return Err(wrong(format!("{other:?}"))),
    };
    Ok(edge::Condition::Field(edge::FieldCondition::new_match(path(&field.key)?, value)))
}

fn filter(filter: wire::Filter) -> Result<edge::Filter, Status> {
    let all = |some: Vec<wire::Condition>| some.into_iter().map(condition).collect::<Result<Vec<_>, _>>();
    if !filter.should.is_empty() || filter.min_should.is_some() {
        return Err(wrong("only must and must_not"));
    }
    Ok(edge::Filter { must: Some(all(filter.must)?), must_not: Some(all(filter.must_not)?), ..edge::Filter::new() })
}

/// Ids or a filter, each with its operation.
enum Chosen {
    Ids(Vec<edge::PointId>),
    Filter(edge::Filter),
}

fn chosen(points: Option<wire::PointsSelector>) -> Result<Chosen, Status> {
    use wire::points_selector::PointsSelectorOneOf;
    match points.and_then(|p| p.points_selector_one_of) {
        Some(PointsSelectorOneOf::Points(list)) => {
            Ok(Chosen::Ids(list.ids.into_iter().map(|i| id(Some(i))).collect::<Result<_, _>>()?))
        }
        Some(PointsSelectorOneOf::Filter(f)) => Ok(Chosen::Filter(filter(f)?)),
        None => Err(wrong("no points named")),
    }
}

fn point(point: wire::PointStruct) -> Result<edge::PointStructPersisted, Status> {
    let Some(wire::vectors::VectorsOptions::Vectors(named)) = point.vectors.and_then(|v| v.vectors_options) else {
        return Err(wrong("only named vectors"));
    };
    let mut vectors = Vec::new();
    for (name, vector) in named.vectors {
        let vector = match vector.vector {
            Some(wire::vector::Vector::Dense(dense)) => edge::Vector::new_dense(dense.data),
            Some(wire::vector::Vector::Sparse(s)) => edge::Vector::new_sparse(s.indices, s.values).map_err(wrong)?,
            other => return Err(wrong(format!("{other:?}"))),
        };
        vectors.push((name, vector));
    }
    let payload = serde_json::Value::Object(payload(point.payload)?.0);
    Ok(edge::PointStruct::new(id(point.id)?, edge::Vectors::new_named(vectors), payload).into())
}

fn record(record: edge::Record) -> wire::RetrievedPoint {
    let vectors = match record.vector {
        Some(edge::VectorStructInternal::Named(named)) => {
            let one = |vector| match vector {
                edge::VectorInternal::Dense(data) => wire::vector_output::Vector::Dense(wire::DenseVector { data }),
                other => panic!("{other:?}"),
            };
            let output = |vector| wire::VectorOutput { vector: Some(one(vector)), ..Default::default() };
            let vectors = named.into_iter().map(|(name, vector)| (name, output(vector))).collect();
            Some(wire::vectors_output::VectorsOptions::Vectors(wire::NamedVectorsOutput { vectors }))
        }
        _ => None,
    };
    wire::RetrievedPoint {
        id: Some(told_id(record.id)),
        payload: told_payload(record.payload),
        vectors: vectors.map(|v| wire::VectorsOutput { vectors_options: Some(v) }),
        ..Default::default()
    }
}

fn room(made: &wire::CreateCollection) -> Result<Room, Status> {
    let mut config = edge::EdgeConfig::default();
    if let Some(sparse) = &made.sparse_vectors_config {
        for (name, params) in &sparse.map {
            let modifier = (params.modifier() == wire::Modifier::Idf).then_some(edge::Modifier::Idf);
            config.sparse_vectors.insert(name.clone(), edge::EdgeSparseVectorParams { modifier, ..Default::default() });
        }
    }
    let dir = tempfile::tempdir().map_err(wrong)?;
    let shard = edge::EdgeShard::new(dir.path(), config).map_err(wrong)?;
    if let Some(wire::vectors_config::Config::ParamsMap(map)) =
        made.vectors_config.as_ref().and_then(|c| c.config.as_ref())
    {
        for (name, params) in &map.map {
            let dense = edge::DenseVectorConfig {
                size: params.size as usize,
                distance: edge::Distance::Cosine,
                multivector_config: None,
                datatype: Some(edge::VectorStorageDatatype::Float16),
            };
            let config = edge::VectorNameConfig::dense(dense);
            let create = edge::CreateVectorName { vector_name: name.clone(), config };
            let create = edge::VectorNameOperations::CreateVectorName(create);
            shard.update(edge::UpdateOperation::VectorNameOperation(create)).map_err(wrong)?;
        }
    }
    Ok(Room { shard, metadata: made.metadata.clone(), fields: Vec::new(), made: made.clone(), _dir: dir })
}

/// Methods that the index never calls.
macro_rules! refused {
    ($($name:ident: $asked:ty => $told:ty;)*) => {$(
        fn $name<'a, 'b>(&'a self, _: Request<$asked>) -> Later<'b, $told> where 'a: 'b, Self: 'b {
            Box::pin(async { Err(Status::unimplemented(stringify!($name))) })
        }
    )*};
}

/// Methods that answer at once.
macro_rules! answered {
    ($($name:ident($rooms:ident, $asked:ident: $asks:ty) -> $told:ty $body:block)*) => {$(
        fn $name<'a, 'b>(&'a self, request: Request<$asks>) -> Later<'b, $told> where 'a: 'b, Self: 'b {
            let ($rooms, $asked) = (self.clone(), request.into_inner());
            Box::pin(async move { $body })
        }
    )*};
}

impl Points for Rooms {
    answered! {
        upsert(rooms, asked: wire::UpsertPoints) -> wire::PointsOperationResponse {
            let points = asked.points.into_iter().map(point).collect::<Result<Vec<_>, _>>()?;
            let insert = edge::PointOperations::UpsertPoints(edge::PointInsertOperations::PointsList(points));
            rooms.update(&asked.collection_name, asked.wait, edge::UpdateOperation::PointOperation(insert))
        }
        delete(rooms, asked: wire::DeletePoints) -> wire::PointsOperationResponse {
            let operation = match chosen(asked.points)? {
                Chosen::Ids(ids) => edge::PointOperations::DeletePoints { ids },
                Chosen::Filter(filter) => edge::PointOperations::DeletePointsByFilter(filter),
            };
            rooms.update(&asked.collection_name, asked.wait, edge::UpdateOperation::PointOperation(operation))
        }
        get(rooms, asked: wire::GetPoints) -> wire::GetResponse {
            let ids = asked.ids.into_iter().map(|i| id(Some(i))).collect::<Result<Vec<_>, _>>()?;
            let names = asked.with_vectors.and_then(|s| s.selector_options);
            let vectors = match names {
                Some(wire::with_vectors_selector::SelectorOptions::Include(names)) => edge::WithVector::Selector(names.names),
                _ => edge::WithVector::Bool(false),
            };
            let payload = edge::WithPayloadInterface::Bool(true);
            let found = rooms.with(&asked.collection_name, |room| {
                room.shard.retrieve(&ids, Some(payload), Some(vectors)).map_err(wrong)
            })?;
            Ok(Response::new(wire::GetResponse { result: found.into_iter().map(record).collect(), ..Default::default() }))
        }
        set_payload(rooms, asked: wire::SetPayloadPoints) -> wire::PointsOperationResponse {
            let Chosen::Ids(points) = chosen(asked.points_selector)? else { return Err(wrong("ids")) };
            let set = edge::SetPayloadOp { payload: payload(asked.payload)?, points: Some(points), filter: None, key: None };
            let set = edge::UpdateOperation::PayloadOperation(edge::PayloadOps::SetPayload(set));
            rooms.update(&asked.collection_name, asked.wait, set)
        }
        delete_payload(rooms, asked: wire::DeletePayloadPoints) -> wire::PointsOperationResponse {
            let Chosen::Filter(filter) = chosen(asked.points_selector)? else { return Err(wrong("filter")) };
            let keys = asked.keys.iter().map(|k| path(k)).collect::<Result<Vec<_>, _>>()?;
            let delete = edge::DeletePayloadOp { keys, points: None, filter: Some(filter) };
            let delete = edge::UpdateOperation::PayloadOperation(edge::PayloadOps::DeletePayload(delete));
            rooms.update(&asked.collection_name, asked.wait, delete)
        }
        create_field_index(rooms, asked: wire::CreateFieldIndexCollection) -> wire::PointsOperationResponse {
            use wire::payload_index_params::IndexParams;
            let schema = match asked.field_index_params.and_then(|p| p.index_params) {
                Some(IndexParams::KeywordIndexParams(p)) => edge::PayloadSchemaParams::Keyword(edge::KeywordIndexParams {
                    is_tenant: p.is_tenant,
                    ..Default::default()
                }),
                Some(IndexParams::BoolIndexParams(_)) => edge::PayloadSchemaParams::Bool(edge::BoolIndexParams::default()),
                other => return Err(wrong(format!("{other:?}"))),
            };
            let schema = Some(edge::PayloadFieldSchema::FieldParams(schema));
            let create = edge::CreateIndex { field_name: path(&asked.field_name)?, field_schema: schema };
            let create = edge::FieldIndexOperations::CreateIndex(create);
            rooms.with(&asked.collection_name, |room| {
                room.fields.push(asked.field_name.clone());
                Ok(())
            })?;
            rooms.update(&asked.collection_name, asked.wait, edge::UpdateOperation::FieldIndexOperation(create))
        }
        scroll(rooms, asked: wire::ScrollPoints) -> wire::ScrollResponse {
            let request = edge::ScrollRequest {
                offset: asked.offset.map(|o| id(Some(o))).transpose()?,
                limit: asked.limit.map(|l| l as usize),
                filter: asked.filter.map(filter).transpose()?,
                with_payload: Some(edge::WithPayloadInterface::Bool(true)),
                with_vector: edge::WithVector::Bool(false),
                order_by: None,
            };
            let (found, _) = rooms.with(&asked.collection_name, |room| room.shard.scroll(request).map_err(wrong))?;
            Ok(Response::new(wire::ScrollResponse { result: found.into_iter().map(record).collect(), ..Default::default() }))
        }
        count(rooms, asked: wire::CountPoints) -> wire::CountResponse {
            let request = edge::CountRequest { filter: asked.filter.map(filter).transpose()?, exact: true };
            let count = rooms.with(&asked.collection_name, |room| room.shard.count(request).map_err(wrong))?;
            let result = Some(wire::CountResult { count: count as u64 });
            Ok(Response::new(wire::CountResponse { result, ..Default::default() }))
        }
        query(rooms, asked: wire::QueryPoints) -> wire::QueryResponse {
            Rooms::query(&rooms, asked)
        }
    }
    refused! {
        update_vectors: wire::UpdatePointVectors => wire::PointsOperationResponse;
        delete_vectors: wire::DeletePointVectors => wire::PointsOperationResponse;
        overwrite_payload: wire::SetPayloadPoints => wire::PointsOperationResponse;
        clear_payload: wire::ClearPayloadPoints => wire::PointsOperationResponse;
        delete_field_index: wire::DeleteFieldIndexCollection => wire::PointsOperationResponse;
        create_vector_name: wire::CreateVectorNameRequest => wire::PointsOperationResponse;
        delete_vector_name: wire::DeleteVectorNameRequest => wire::PointsOperationResponse;
        search: wire::SearchPoints => wire::SearchResponse;
        search_batch: wire::SearchBatchPoints => wire::SearchBatchResponse;
        search_groups: wire::SearchPointGroups => wire::SearchGroupsResponse;
        recommend: wire::RecommendPoints => wire::RecommendResponse;
        recommend_batch: wire::RecommendBatchPoints => wire::RecommendBatchResponse;
        recommend_groups: wire::RecommendPointGroups => wire::RecommendGroupsResponse;
        discover: wire::DiscoverPoints => wire::DiscoverResponse;
        discover_batch: wire::DiscoverBatchPoints => wire::DiscoverBatchResponse;
        update_batch: wire::UpdateBatchPoints => wire::UpdateBatchResponse;
        query_batch: wire::QueryBatchPoints => wire::QueryBatchResponse;
        query_groups: wire::QueryPointGroups => wire::QueryGroupsResponse;
        facet: wire::FacetCounts => wire::FacetResponse;
        search_matrix_pairs: wire::SearchMatrixPoints => wire::SearchMatrixPairsResponse;
        search_matrix_offsets: wire::SearchMatrixPoints => wire::SearchMatrixOffsetsResponse;
    }
}

fn done(result: bool) -> Answer<wire::CollectionOperationResponse> {
    Ok(Response::new(wire::CollectionOperationResponse { result, time: 0.0 }))
}

impl Collections for Rooms {
    answered! {
        get(rooms, asked: wire::GetCollectionInfoRequest) -> wire::GetCollectionInfoResponse {
            let info = rooms.with(&asked.collection_name, |room| {
                let config = wire::CollectionConfig { metadata: room.metadata.clone(), ..Default::default() };
                let fields = room.fields.iter().map(|f| (f.clone(), wire::PayloadSchemaInfo::default())).collect();
                Ok(wire::CollectionInfo { config: Some(config), payload_schema: fields, ..Default::default() })
            })?;
            Ok(Response::new(wire::GetCollectionInfoResponse { result: Some(info), time: 0.0 }))
        }
        list(rooms, _asked: wire::ListCollectionsRequest) -> wire::ListCollectionsResponse {
            let collections = rooms.names().into_iter().map(|name| wire::CollectionDescription { name }).collect();
            Ok(Response::new(wire::ListCollectionsResponse { collections, time: 0.0 }))
        }
        create(rooms, asked: wire::CreateCollection) -> wire::CollectionOperationResponse {
            let made = room(&asked)?;
            if rooms.lock().insert(asked.collection_name, made).is_some() {
                return Err(Status::already_exists("there"));
            }
            done(true)
        }
        update(rooms, asked: wire::UpdateCollection) -> wire::CollectionOperationResponse {
            rooms.with(&asked.collection_name, |room| {
                room.metadata.extend(asked.metadata);
                Ok(())
            })?;
            done(true)
        }
        delete(rooms, asked: wire::DeleteCollection) -> wire::CollectionOperationResponse {
            done(rooms.lock().remove(&asked.collection_name).is_some())
        }
        collection_exists(rooms, asked: wire::CollectionExistsRequest) -> wire::CollectionExistsResponse {
            let exists = rooms.lock().contains_key(&asked.collection_name);
            Ok(Response::new(wire::CollectionExistsResponse { result: Some(wire::CollectionExists { exists }), time: 0.0 }))
        }
    }
    refused! {
        update_aliases: wire::ChangeAliases => wire::CollectionOperationResponse;
        list_collection_aliases: wire::ListCollectionAliasesRequest => wire::ListAliasesResponse;
        list_aliases: wire::ListAliasesRequest => wire::ListAliasesResponse;
        collection_cluster_info: wire::CollectionClusterInfoRequest => wire::CollectionClusterInfoResponse;
        update_collection_cluster_setup: wire::UpdateCollectionClusterSetupRequest => wire::UpdateCollectionClusterSetupResponse;
        create_shard_key: wire::CreateShardKeyRequest => wire::CreateShardKeyResponse;
        delete_shard_key: wire::DeleteShardKeyRequest => wire::DeleteShardKeyResponse;
        list_shard_keys: wire::ListShardKeysRequest => wire::ListShardKeysResponse;
    }
}
