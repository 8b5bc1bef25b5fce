//! The Open Inference Protocol, version 2, in JSON over HTTP: what is asked, what an answer must hold, and what a server says of
//! its model. <https://github.com/kserve/open-inference-protocol>

use super::Fault;
use crate::classify::manifest::Manifest;
use crate::classify::window::Sequence;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What every graph must be told, each of shape `[sequences, tokens]`.
const INPUTS: [&str; 2] = ["input_ids", "token_type_ids"];

/// Which tokens count, of the same shape; where a graph wants to be told.
const MASK: &str = "attention_mask";

/// Whether it may answer after its first layers; where it can.
const MAY_EXIT: &str = "may_exit";

/// Its output, of shape `[sequences, labels]`.
const OUTPUT: &str = "logits";

#[derive(Serialize)]
struct Question<'a> {
    inputs: Vec<Tensor<'a>>,
    outputs: [Wanted<'a>; 1],
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    shape: Vec<usize>,
    datatype: &'a str,
    data: Contents,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Contents {
    Numbers(Vec<i64>),
    Flag([bool; 1]),
}

#[derive(Serialize)]
struct Wanted<'a> {
    name: &'a str,
}

/// What a graph is told beside ids and types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// Whether it is told which tokens count: without, only sequences of one length can be asked about together.
    pub(super) is_masked: bool,
    /// Where it is told whether it may answer early: by a tensor of one number, of so many dimensions.
    may_exit: Option<usize>,
}

/// The body of a request for the logits of `batch`. Shorter sequences are filled up behind their end, where the mask is 0; without
/// a mask they must be of one length.
pub(super) fn question(batch: &[&Sequence], form: Form) -> Result<Bytes, Fault> {
    let width = batch.iter().map(|sequence| sequence.ids.len()).max().unwrap_or_default();
    let tensor = |name, row: &dyn Fn(&Sequence) -> Vec<i64>| {
        let filled = batch.iter().flat_map(|sequence| {
            let mut row = row(sequence);
            row.resize(width, 0);
            row
        });
        let data = Contents::Numbers(filled.collect());
        Tensor { name, shape: vec![batch.len(), width], datatype: "INT64", data }
    };
    let [ids, types] = INPUTS;
    let mut inputs =
        vec![tensor(ids, &|sequence| sequence.ids.clone()), tensor(types, &|sequence| sequence.types.clone())];
    if form.is_masked {
        inputs.push(tensor(MASK, &|sequence| vec![1; sequence.ids.len()]));
    }
    if let Some(dimensions) = form.may_exit {
        // Never: a batch leaves its graph as one, so that whether a text is judged by the first layers alone would depend on its
        // neighbours; and what a server says must be what the graph here says, whoever of them is asked.
        let data = Contents::Flag([false]);
        inputs.push(Tensor { name: MAY_EXIT, shape: vec![1; dimensions], datatype: "BOOL", data });
    }
    let written = serde_json::to_vec(&Question { inputs, outputs: [Wanted { name: OUTPUT }] });
    written.map(Bytes::from).map_err(|_| Fault::Invalid("the question cannot be written"))
}

#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    model_version: Option<String>,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    shape: Vec<usize>,
    data: Data,
}

/// Servers write a tensor flat or in rows; both are allowed.
#[derive(Deserialize)]
#[serde(untagged)]
enum Data {
    Flat(Vec<f32>),
    Rows(Vec<Vec<f32>>),
}

/// What a server answered.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    /// The logits of each sequence.
    pub(super) logits: Vec<Vec<f32>>,
    /// The version of the model that gave them, where the server says it.
    pub(super) version: Option<String>,
}

/// Reads an answer about `sequences` sequences: `labels` finite numbers for each, or it is none.
pub(super) fn answer(body: &[u8], sequences: usize, labels: usize) -> Result<Answer, Fault> {
    // The parser's own words may quote what it read, which is of no use here.
    let answered: Answered = serde_json::from_slice(body).map_err(|_| Fault::Invalid("it is no inference response"))?;
    let output = answered.outputs.into_iter().find(|output| output.name == OUTPUT);
    let output = output.ok_or(Fault::Invalid("it has no output `logits`"))?;
    if output.shape != [sequences, labels] {
        return Err(Fault::Invalid("its logits are of another shape"));
    }
    let logits: Vec<Vec<f32>> = match output.data {
        Data::Flat(flat) if flat.len() == sequences * labels => {
            flat.chunks(labels.max(1)).map(<[f32]>::to_vec).collect()
        }
        Data::Rows(rows) if rows.len() == sequences && rows.iter().all(|row| row.len() == labels) => rows,
        _ => return Err(Fault::Invalid("its logits are not as many as it says")),
    };
    if logits.iter().flatten().any(|logit| !logit.is_finite()) {
        return Err(Fault::Invalid("a logit is not a number"));
    }
    Ok(Answer { logits, version: answered.model_version })
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    versions: Option<Vec<String>>,
    inputs: Vec<Described>,
    outputs: Vec<Described>,
    #[serde(default)]
    parameters: Value,
}

#[derive(Deserialize)]
struct Described {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

impl Described {
    /// Whether a tensor of `columns` columns may be of this shape; a server says -1 for any number.
    fn has_columns(&self, columns: Option<i64>) -> bool {
        matches!(*self.shape, [_, found] if found == -1 || columns.is_none_or(|columns| columns == found))
    }
}

/// Whether the model is known to be that of the manifest, by what its server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// By a hash.
    Proven,
    /// The server names none.
    Unnamed,
}

/// What a server's description says of its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether it is ours.
    pub(super) identity: Identity,
    /// How it is asked.
    pub(super) form: Form,
}

/// Holds what a server says of its model against the manifest, whose hash is `id`.
pub(super) fn check(body: &[u8], manifest: &Manifest, id: &str) -> Result<Found, Fault> {
    let metadata: Metadata = serde_json::from_slice(body).map_err(|_| {
        Fault::Mismatch("what it says of its model is no model metadata with inputs and outputs".to_owned())
    })?;
    let mut faults = Vec::new();
    let form = form(&metadata.inputs, &mut faults);
    let labels = i64::try_from(manifest.labels.len()).ok();
    match find(&metadata.outputs, OUTPUT) {
        Some(tensor) if tensor.datatype.starts_with("FP") && tensor.has_columns(labels) => {}
        Some(_) => faults.push(format!("its output `{OUTPUT}` is not FP32 of shape [-1, {}]", manifest.labels.len())),
        None => faults.push(format!("it has no output `{OUTPUT}`")),
    }
    let identity = identity(&metadata, manifest, id);
    faults.extend(identity.as_ref().err().cloned());
    match identity {
        Ok(identity) if faults.is_empty() => Ok(Found { identity, form }),
        _ => Err(Fault::Mismatch(faults.join("; "))),
    }
}

fn find<'a>(all: &'a [Described], name: &str) -> Option<&'a Described> {
    all.iter().find(|tensor| tensor.name == name)
}

/// How a graph with these inputs is asked.
fn form(inputs: &[Described], faults: &mut Vec<String>) -> Form {
    let mut is_there = |name: &str, fits: &dyn Fn(&Described) -> bool, expected: &str| {
        let tensor = find(inputs, name);
        if tensor.is_some_and(|tensor| !fits(tensor)) {
            faults.push(format!("its input `{name}` is not {expected}"));
        }
        tensor.is_some()
    };
    let of_tokens = |tensor: &Described| tensor.datatype == "INT64" && tensor.has_columns(None);
    let of_one = |tensor: &Described| tensor.datatype == "BOOL" && matches!(*tensor.shape, [] | [1 | -1]);
    let are_there = INPUTS.map(|name| is_there(name, &of_tokens, "INT64 of shape [-1, -1]"));
    let is_masked = is_there(MASK, &of_tokens, "INT64 of shape [-1, -1]");
    is_there(MAY_EXIT, &of_one, "BOOL of shape [1]");
    let lacking = INPUTS.iter().zip(are_there).filter(|(_, is_there)| !is_there);
    faults.extend(lacking.map(|(name, _)| format!("it has no input `{name}`")));
    let is_known = |name: &str| INPUTS.contains(&name) || name == MASK || name == MAY_EXIT;
    if inputs.iter().any(|tensor| !is_known(&tensor.name)) {
        faults.push("it has other inputs too".to_owned());
    }
    Form { is_masked, may_exit: find(inputs, MAY_EXIT).map(|tensor| tensor.shape.len()) }
}

/// By `parameters.sha256`, the hash of a graph that the manifest names, or by a version that is called as the manifest's hash.
fn identity(metadata: &Metadata, manifest: &Manifest, id: &str) -> Result<Identity, String> {
    let named = metadata.parameters.get("sha256");
    let named = named.and_then(|named| named.as_str().or_else(|| named.get("string_value")?.as_str()));
    let graphs = manifest.files.iter().filter(|(file, _)| file.ends_with(".onnx"));
    match named {
        Some(named) if graphs.clone().any(|(_, hash)| hash == named) => Ok(Identity::Proven),
        Some(_) => Err("the SHA-256 of its graph is none that the manifest names".to_owned()),
        None if metadata.versions.iter().flatten().any(|version| version == id) => Ok(Identity::Proven),
        None => Ok(Identity::Unnamed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::encode::EMBEDDED;
    use serde_json::json;

    fn sequence(ids: &[i64]) -> Sequence {
        Sequence { ids: ids.to_vec(), types: vec![1; ids.len()] }
    }

    fn asked(batch: &[&Sequence], form: Form) -> Value {
        serde_json::from_slice(&question(batch, form).unwrap()).unwrap()
    }

    #[test]
    fn a_question_is_tensors_and_no_text() {
        let tensor = |name, data: [i64; 6]| json!({"name": name, "shape": [2, 3], "datatype": "INT64", "data": data});
        let inputs = json!([
            tensor("input_ids", [5, 6, 7, 8, 0, 0]),
            tensor("token_type_ids", [1, 1, 1, 1, 0, 0]),
            tensor("attention_mask", [1, 1, 1, 1, 0, 0]),
        ]);
        let form = Form { is_masked: true, may_exit: None };
        let asked = asked(&[&sequence(&[5, 6, 7]), &sequence(&[8])], form);
        assert_eq!(asked, json!({"inputs": inputs, "outputs": [{"name": "logits"}]}));
    }

    #[test]
    fn a_question_holds_what_the_graph_wants_to_be_told_and_never_lets_it_answer_early() {
        for (dimensions, shape) in [(0, json!([])), (1, json!([1]))] {
            let asked = asked(&[&sequence(&[5, 6])], Form { is_masked: false, may_exit: Some(dimensions) });
            let inputs = asked["inputs"].as_array().unwrap();
            assert_eq!(inputs.len(), 3);
            assert_eq!(inputs[2], json!({"name": "may_exit", "shape": shape, "datatype": "BOOL", "data": [false]}));
        }
    }

    fn read(output: Value) -> Result<Answer, Fault> {
        let body = json!({"model_name": "m", "model_version": "1", "outputs": [{"name": "other", "shape": [1], "data": [1]}, output]});
        answer(body.to_string().as_bytes(), 2, 2)
    }

    #[test]
    fn logits_come_flat_or_in_rows() {
        let expected = Answer { logits: vec![vec![1.0, 2.0], vec![3.0, -4.5]], version: Some("1".to_owned()) };
        for data in [json!([1, 2.0, 3, -4.5]), json!([[1, 2], [3, -4.5]])] {
            let read = read(json!({"name": "logits", "datatype": "FP32", "shape": [2, 2], "data": data}));
            assert_eq!(read.ok().as_ref(), Some(&expected));
        }
    }

    #[test]
    fn what_is_not_two_finite_rows_is_no_answer() {
        let logits =
            |shape: Value, data: Value| json!({"name": "logits", "datatype": "FP32", "shape": shape, "data": data});
        for wrong in [
            json!({"name": "Logits", "shape": [2, 2], "data": [1, 2, 3, 4]}),
            logits(json!([4]), json!([1, 2, 3, 4])),
            logits(json!([1, 4]), json!([1, 2, 3, 4])),
            logits(json!([2, 2]), json!([1, 2, 3])),
            logits(json!([2, 2]), json!([[1, 2, 3], [4]])),
            logits(json!([2, 2]), json!([1, 2, 3, null])),
            logits(json!([2, 2]), json!([1, 2, 3, 1e39])),
            logits(json!([2, 2]), json!([1, 2, 3, "4"])),
        ] {
            assert!(matches!(read(wrong.clone()), Err(Fault::Invalid(_))), "{wrong}");
        }
        for garbage in [
            "",
            "<html>",
            "[]",
            "{\"outputs\": 1}",
            "{\"outputs\":[{\"name\":\"logits\",\"shape\":[2,2],\"data\":[1,2,3,NaN]}]}",
        ] {
            assert!(matches!(answer(garbage.as_bytes(), 2, 2), Err(Fault::Invalid(_))), "{garbage}");
        }
    }

    fn described(change: impl Fn(&mut Value)) -> Result<Found, Fault> {
        let id = "0123456789ab";
        let manifest = Manifest::check(EMBEDDED.manifest, EMBEDDED.model, EMBEDDED.tokenizer).unwrap();
        let tensor = |name, datatype, columns: i64| json!({"name": name, "datatype": datatype, "shape": [-1, columns]});
        let (inputs, labels) = (INPUTS.map(|name| tensor(name, "INT64", -1)), manifest.labels.len() as i64);
        let mut metadata =
            json!({"name": "m", "platform": "p", "inputs": inputs, "outputs": [tensor("logits", "FP32", labels)]});
        change(&mut metadata);
        check(metadata.to_string().as_bytes(), &manifest, id)
    }

    fn checked(change: impl Fn(&mut Value)) -> Result<Identity, Fault> {
        described(change).map(|found| found.identity)
    }

    #[test]
    fn a_model_says_what_it_wants_to_be_told() {
        let with = |more: &[Value]| {
            described(|metadata| metadata["inputs"].as_array_mut().unwrap().extend_from_slice(more))
                .map(|found| found.form)
        };
        let mask = json!({"name": "attention_mask", "datatype": "INT64", "shape": [-1, -1]});
        let exit = |shape: Value| json!({"name": "may_exit", "datatype": "BOOL", "shape": shape});
        let form = |is_masked, may_exit| Ok(Form { is_masked, may_exit });
        assert_eq!(with(&[]), form(false, None));
        assert_eq!(with(std::slice::from_ref(&mask)), form(true, None));
        assert_eq!(with(&[exit(json!([1]))]), form(false, Some(1)));
        assert_eq!(with(&[exit(json!([-1])), mask]), form(true, Some(1)));
        assert_eq!(with(&[exit(json!([]))]), form(false, Some(0)));
        for wrong in [
            exit(json!([2])),
            exit(json!([-1, 1])),
            json!({"name": "may_exit", "datatype": "INT64", "shape": [1]}),
            json!({"name": "attention_mask", "datatype": "BOOL", "shape": [-1, -1]}),
            json!({"name": "position_ids", "datatype": "INT64", "shape": [-1, -1]}),
        ] {
            assert!(matches!(with(std::slice::from_ref(&wrong)), Err(Fault::Mismatch(_))), "{wrong}");
        }
        let exited = json!({"name": "exited", "datatype": "BOOL", "shape": [1]});
        assert!(described(|metadata| metadata["outputs"].as_array_mut().unwrap().push(exited.clone())).is_ok());
    }

    #[test]
    fn a_model_with_other_tensors_does_not_fit() {
        assert_eq!(checked(|_| {}).ok(), Some(Identity::Unnamed));
        for (place, wrong) in [
            ("/inputs/0/name", json!("ids")),
            ("/inputs/1/datatype", json!("INT32")),
            ("/inputs/1/shape", json!([-1])),
            ("/outputs/0/name", json!("scores")),
            ("/outputs/0/shape", json!([-1, 2])),
            ("/outputs/0/datatype", json!("BYTES")),
            ("/inputs", json!(null)),
        ] {
            let found = checked(|metadata| *metadata.pointer_mut(place).unwrap() = wrong.clone());
            assert!(matches!(found, Err(Fault::Mismatch(_))), "{place}");
        }
    }

    #[test]
    fn a_model_is_known_by_the_hash_of_its_graph() {
        let ours: Value = serde_json::from_slice(EMBEDDED.manifest).unwrap();
        let ours = &ours["files"]["model.onnx"];
        let named = |parameters: Value| checked(move |metadata| metadata["parameters"] = parameters.clone()).ok();
        assert_eq!(named(json!({"sha256": ours})), Some(Identity::Proven));
        assert_eq!(named(json!({"sha256": {"string_value": ours}})), Some(Identity::Proven));
        assert_eq!(named(json!({"sha256": "00"})), None);
        assert_eq!(named(json!({"other": "00"})), Some(Identity::Unnamed));
        let version = |version: &str| checked(|metadata| metadata["versions"] = json!([version])).ok();
        assert_eq!([version("0123456789ab"), version("6")], [Some(Identity::Proven), Some(Identity::Unnamed)]);
    }
}
