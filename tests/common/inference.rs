//! A model server that speaks the Open Inference Protocol v2, by a script: it runs the shipped graph, or fails as it is told to.

use super::common::{Asked, ScriptedUpstream, answer};
use bytes::Bytes;
use http::{Response, Uri};
use nonnocere::classify::encode::EMBEDDED;
use nonnocere::classify::graph::Graph;
use nonnocere::classify::onnx::{Device, OnnxGraph};
use nonnocere::classify::remote::Settings;
use nonnocere::classify::window::Sequence;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How the server answers.
#[derive(Clone, Debug)]
pub enum Manner {
    /// As it should.
    Well,
    /// Well, of another version of its model.
    OfVersion(&'static str),
    /// By the logits of nobody: of each sequence the sum of its unmasked ids, in each column.
    Sums,
    /// With these bytes.
    Raw(u16, &'static str),
    /// With this output in place of its own.
    Output(fn(Value) -> Value),
}

/// A server, alive as long as it is held.
pub struct ModelServer {
    scripted: ScriptedUpstream,
    runtime: Option<Runtime>,
    manner: Arc<Mutex<Manner>>,
    metadata: Arc<Mutex<Value>>,
}

/// The shipped graph, loaded once.
pub fn shipped() -> Arc<OnnxGraph> {
    static GRAPH: OnceLock<Arc<OnnxGraph>> = OnceLock::new();
    Arc::clone(GRAPH.get_or_init(|| Arc::new(OnnxGraph::load(EMBEDDED.model, Device::Cpu).unwrap())))
}

/// How many logits the shipped graph gives.
pub fn labels() -> usize {
    let manifest: Value = serde_json::from_slice(EMBEDDED.manifest).unwrap();
    manifest["labels"].as_array().unwrap().len()
}

impl ModelServer {
    pub fn start() -> Self {
        let manner = Arc::new(Mutex::new(Manner::Well));
        let tensor = |name, datatype, columns: i64| json!({"name": name, "datatype": datatype, "shape": [-1, columns]});
        let inputs = ["input_ids", "attention_mask", "token_type_ids"].map(|name| tensor(name, "INT64", -1));
        let outputs = [tensor("logits", "FP32", labels() as i64)];
        let metadata = json!({"name": "guard", "platform": "onnx", "inputs": inputs, "outputs": outputs});
        let metadata = Arc::new(Mutex::new(metadata));
        let (asked_manner, asked_metadata) = (Arc::clone(&manner), Arc::clone(&metadata));
        let script = move |asked: &Asked| {
            let manner = asked_manner.lock().unwrap().clone();
            match asked.path.as_str() {
                "/v2/models/guard" => answer(200, "application/json", &asked_metadata.lock().unwrap().to_string()),
                "/v2/models/guard/infer" => infer(&asked.body, &manner),
                _ => answer(404, "application/json", "{\"error\": \"no such model\"}"),
            }
        };
        // A thread of its own: the caller may be async, where nothing may be waited for.
        let start = || {
            let runtime = Runtime::new().unwrap();
            let scripted = runtime.block_on(ScriptedUpstream::start(script));
            (runtime, scripted)
        };
        let (runtime, scripted) = std::thread::scope(|threads| threads.spawn(start).join().unwrap());
        Self { scripted, runtime: Some(runtime), manner, metadata }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.scripted.address)
    }

    pub fn settings(&self) -> Settings {
        settings(&self.url())
    }

    /// Has it answer so from now on.
    pub fn answers(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Has it say other things of its model from now on.
    pub fn describes(&self, change: impl Fn(&mut Value)) {
        change(&mut self.metadata.lock().unwrap());
    }

    /// The bodies of inference requests so far.
    pub fn asked(&self) -> Vec<Bytes> {
        let asked = self.scripted.asked().into_iter().filter(|asked| asked.path.ends_with("/infer"));
        asked.map(|asked| asked.body).collect()
    }

    /// Its port is closed, and its connections are cut.
    pub fn kill(&mut self) {
        let runtime = self.runtime.take().unwrap();
        std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(10))).join().unwrap();
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        // A test may be async, where a runtime must not wait for its end.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A server at `url` that is given up after three failures, for a moment, and for which nobody stands in.
pub fn settings(url: &str) -> Settings {
    Settings {
        url: url.parse::<Uri>().unwrap(),
        authorization: None,
        model: "guard".to_owned(),
        version: String::new(),
        timeout: Duration::from_secs(20),
        workers: 2,
        batch: 1,
        has_local: false,
        failures: 3,
        pause: Duration::from_secs(3600),
    }
}

fn infer(body: &[u8], manner: &Manner) -> Response<Bytes> {
    if let Manner::Raw(status, body) = manner {
        return answer(*status, "application/json", body);
    }
    let sequences = sequences(body);
    let logits: Vec<Vec<f32>> = match manner {
        Manner::Sums => sequences.iter().map(|one| vec![one.ids.iter().sum::<i64>() as f32; labels()]).collect(),
        _ => shipped().logits(sequences, Instant::now() + Duration::from_secs(60)).unwrap(),
    };
    let (rows, data) = (logits.len(), logits.concat());
    let output = json!({"name": "logits", "datatype": "FP32", "shape": [rows, labels()], "data": data});
    let output = if let Manner::Output(change) = manner { change(output) } else { output };
    let version = if let Manner::OfVersion(version) = manner { version } else { "1" };
    answer(
        200,
        "application/json",
        &json!({"model_name": "guard", "model_version": version, "outputs": [output]}).to_string(),
    )
}

/// What a request asks about, without what is masked.
fn sequences(body: &[u8]) -> Vec<Sequence> {
    let asked: Value = serde_json::from_slice(body).unwrap();
    let rows = |name: &str| -> Vec<Vec<i64>> {
        let tensor = asked["inputs"].as_array().unwrap().iter().find(|tensor| tensor["name"] == name).unwrap();
        assert_eq!(tensor["datatype"], "INT64");
        let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
        let data: Vec<i64> = serde_json::from_value(tensor["data"].clone()).unwrap();
        assert_eq!((shape.len(), shape.iter().product::<usize>()), (2, data.len()));
        data.chunks(shape[1]).map(<[i64]>::to_vec).collect()
    };
    let masks = rows("attention_mask");
    let unmasked = |row: Vec<i64>, mask: &Vec<i64>| {
        row.into_iter().zip(mask).filter(|(_, mask)| **mask == 1).map(|(id, _)| id).collect()
    };
    let all = rows("input_ids").into_iter().zip(rows("token_type_ids")).zip(&masks);
    all.map(|((ids, types), mask)| Sequence { ids: unmasked(ids, mask), types: unmasked(types, mask) }).collect()
}
