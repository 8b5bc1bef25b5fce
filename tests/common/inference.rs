//! A model server that speaks the Open Inference Protocol v2, by a script: it runs the shipped graph, or fails as it is told to.

use super::common::{Asked, ScriptedUpstream, answer};
use bytes::Bytes;
use http::{Response, Uri};
use nonnocere::classify::Care;
use nonnocere::classify::encode::EMBEDDED;
use nonnocere::classify::graph::Graph;
use nonnocere::classify::onnx::{Device, OnnxGraph};
use nonnocere::classify::remote::Settings;
use nonnocere::classify::window::Sequence;
use serde_json::{Value, json};
use std::collections::BTreeSet;
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
    /// By the logits of nobody: of each sequence the sum of its unmasked ids and of their number, in each column.
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
        let flag = |name| json!({"name": name, "datatype": "BOOL", "shape": [1]});
        let inputs = [tensor("input_ids", "INT64", -1), tensor("token_type_ids", "INT64", -1), flag("may_exit")];
        let outputs = [tensor("logits", "FP32", labels() as i64), flag("exited")];
        let metadata = json!({"name": "guard", "platform": "onnx", "inputs": inputs, "outputs": outputs});
        let metadata = Arc::new(Mutex::new(metadata));
        let (asked_manner, asked_metadata) = (Arc::clone(&manner), Arc::clone(&metadata));
        let script = move |asked: &Asked| {
            let manner = asked_manner.lock().unwrap().clone();
            match asked.path.as_str() {
                "/v2/models/guard" => answer(200, "application/json", &asked_metadata.lock().unwrap().to_string()),
                "/v2/models/guard/infer" => infer(&asked.body, &asked_metadata.lock().unwrap()["inputs"], &manner),
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

    /// Has its model want to be told which tokens count from now on, and not whether it may answer early.
    pub fn is_masked(&self) {
        let mask = json!({"name": "attention_mask", "datatype": "INT64", "shape": [-1, -1]});
        self.describes(|metadata| metadata["inputs"][2] = mask.clone());
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

fn infer(body: &[u8], described: &Value, manner: &Manner) -> Response<Bytes> {
    if let Manner::Raw(status, body) = manner {
        return answer(*status, "application/json", body);
    }
    let asked: Value = serde_json::from_slice(body).unwrap();
    if names(&asked["inputs"]) != names(described) {
        return answer(400, "application/json", "{\"error\": \"unexpected inputs\"}");
    }
    let (sequences, care) = sequences(&asked["inputs"]);
    let logits: Vec<Vec<f32>> = match manner {
        Manner::Sums => {
            let sum = |one: &Sequence| one.ids.iter().sum::<i64>() as f32 + one.ids.len() as f32;
            sequences.iter().map(|one| vec![sum(one); labels()]).collect()
        }
        _ => shipped().logits(sequences, care).unwrap().into_iter().map(|logits| logits.values).collect(),
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

fn names(inputs: &Value) -> BTreeSet<&str> {
    inputs.as_array().unwrap().iter().map(|tensor| tensor["name"].as_str().unwrap()).collect()
}

/// What a request asks about, without what is masked, and how.
fn sequences(inputs: &Value) -> (Vec<Sequence>, Care) {
    let find = |name: &str| inputs.as_array().unwrap().iter().find(|tensor| tensor["name"] == name);
    let rows = |name: &str| -> Vec<Vec<i64>> {
        let tensor = find(name).unwrap();
        assert_eq!(tensor["datatype"], "INT64");
        let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
        let data: Vec<i64> = serde_json::from_value(tensor["data"].clone()).unwrap();
        assert_eq!((shape.len(), shape.iter().product::<usize>()), (2, data.len()));
        data.chunks(shape[1]).map(<[i64]>::to_vec).collect()
    };
    let ids = rows("input_ids");
    let all = || ids.iter().map(|row| vec![1; row.len()]).collect();
    let masks = find("attention_mask").map_or_else(all, |_| rows("attention_mask"));
    let unmasked =
        |row: &[i64], mask: &[i64]| row.iter().zip(mask).filter(|(_, mask)| **mask == 1).map(|(id, _)| *id).collect();
    let all = ids.iter().zip(rows("token_type_ids")).zip(&masks);
    let all = all.map(|((ids, types), mask)| Sequence { ids: unmasked(ids, mask), types: unmasked(&types, mask) });
    let may_exit = find("may_exit").is_some_and(|flag| flag["data"] == json!([true]));
    (all.collect(), Care { until: Instant::now() + Duration::from_secs(60), thorough: !may_exit })
}
