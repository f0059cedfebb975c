//! `/workflow/definitions` and `/workflow/param-sets`.

use crate::{
    client::{Client, text},
    keys, refused,
    web::Web,
};
use serde_json::{Value, json};
use std::fs;

#[test]
fn workflows_are_listed_by_id_and_shown_as_yaml() {
    let web = Web::start();
    let client = Client::of(&web);
    let folder = web.home().join("workflows");
    fs::create_dir(&folder).unwrap();
    let text_of = "id: zip\nname: Zip it\nsteps:\n  - name: zip\n    run: zip {{ item }}\n";
    fs::write(folder.join("zip.yaml"), text_of).unwrap();
    fs::write(folder.join("count.yaml"), "id: count\nsteps: [{ name: count, run: wc }]\n").unwrap();
    fs::write(folder.join("broken.yaml"), "id: broken\nsteps: 7\n").unwrap();
    let listed = client.get("/api/v1/workflow/definitions").json();
    assert_eq!(
        listed,
        json!([
            {"id": "count", "name": "count"},
            {"id": "ingest", "name": "Ingest documents"},
            {"id": "zip", "name": "Zip it"},
        ])
    );
    let shown = client.get("/api/v1/workflow/definitions/zip");
    assert_eq!((shown.status, shown.text().as_str()), (200, text_of));
    assert!(shown.headers["content-type"].to_str().unwrap().starts_with("text/yaml"));
    assert!(client.get("/api/v1/workflow/definitions/ingest").text().contains("uses: windlass/validate"));
    refused(&client.get("/api/v1/workflow/definitions/none"), 404);
}

#[test]
fn a_workflow_that_was_submitted_is_known() {
    let web = Web::start();
    let client = Client::of(&web);
    let file = web.home().join("mine.yaml");
    fs::write(&file, "id: mine\nname: Mine\nsteps: [{ name: only, run: [\"true\"] }]\n").unwrap();
    assert!(web.windlass(&["submit", file.to_str().unwrap()]).output().unwrap().status.success());
    let listed = client.get("/api/v1/workflow/definitions").json();
    assert_eq!(listed[1], json!({"id": "mine", "name": "Mine"}));
    let shown: Value = serde_json::from_str(&client.get("/api/v1/workflow/definitions/mine").text()).unwrap();
    assert_eq!(shown["id"], "mine");
}

#[test]
fn parameter_sets_come_and_go_but_the_built_in_one_stays() {
    let web = Web::start();
    let client = Client::of(&web);
    let path = "/api/v1/workflow/param-sets";
    let builtin = json!({"id": "default", "name": "Built-in defaults", "source": "app"});
    assert_eq!(client.get(path).json(), json!([builtin]));
    let yaml = "id: big\nname: Large chunks\nconfig:\n  chunk: {size: 800, max: 900}\n  store: {path: big}\n";
    let made = client.multipart("POST", path, &[text("yaml_content", yaml)]);
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert_eq!(keys(&made), ["message", "id", "file_path"]);
    assert_eq!(made["id"], "big");
    assert_eq!(fs::read_to_string(made["file_path"].as_str().unwrap()).unwrap(), yaml);
    assert_eq!(client.get(path).json(), json!([{"id": "big", "name": "Large chunks", "source": "user"}, builtin]));
    let shown = client.get(&format!("{path}/big"));
    assert_eq!(shown.text(), yaml);
    assert!(shown.headers["content-type"].to_str().unwrap().starts_with("text/yaml"));
    assert!(client.get(&format!("{path}/default")).text().contains("size: 400"));
    refused(&client.get(&format!("{path}/none")), 404);

    refused(&client.multipart("POST", path, &[text("yaml_content", yaml)]), 409);
    refused(&client.urlencoded("POST", path, &[text("yaml_content", "id: default\n")]), 409);
    for wrong in [
        "",
        "id: [",
        "id: x\nconfig: {chunk: {sise: 1}}\n",
        "id: ../../x\n",
        "id: x\nconfig: {chunk: {overlap: 900}}\n",
    ] {
        refused(&client.multipart("POST", path, &[text("yaml_content", wrong)]), 400);
    }

    let target = |name: &str| client.get(&format!("/api/v1/workflow/param_sets/target/{name}")).json();
    assert_eq!(target("big").as_array().unwrap().len(), 1);
    assert_eq!((&target("big")[0]["id"], &target("big")[0]["config"]["chunk"]["size"]), (&json!("big"), &json!(800)));
    assert_eq!(target("default")[0]["id"], "default");
    assert_eq!(target("none"), json!([]));

    refused(&client.send("DELETE", &format!("{path}/default"), None), 403);
    assert_eq!(client.send("DELETE", &format!("{path}/big"), None).status, 200);
    refused(&client.send("DELETE", &format!("{path}/big"), None), 404);
}
