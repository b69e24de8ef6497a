//! docs/security.md says which rights the operator has: exactly those of the manifests.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use serde_json::Value;

type Rights = BTreeSet<(String, String, String)>;

/// Group, resource and verb of every line of the tables under a heading.
fn explained(page: &str, heading: &str) -> Rights {
    let section = page.split(&format!("\n## {heading}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let mut rights = Rights::new();
    for line in section.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| group ")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, group, resource, verbs, reason, _] = cells[..] else { unreachable!("{line}") };
        assert!(reason.len() > 20, "no reason is given: {line}");
        for verb in verbs.split(", ") {
            let word = |cell: &str| cell.trim_matches('`').to_owned();
            assert!(rights.insert((word(group), word(resource), word(verb))), "twice: {line}");
        }
    }
    rights
}

/// The rules of the roles that the operator's service account is bound to.
fn granted(manifests: &str, roles: usize) -> Rights {
    let documents: Vec<Value> = manifests
        .split("\n---\n")
        .filter(|d| d.contains("\nkind: ClusterRole\n") || d.contains("\nkind: Role\n") || d.contains("RoleBinding\n"))
        .map(|d| serde_saphyr::from_str(d).unwrap())
        .collect();
    let bound: BTreeSet<_> = documents
        .iter()
        .filter(|d| d["subjects"][0]["name"] == "redis-replication-operator")
        .map(|d| d["roleRef"]["name"].to_string())
        .collect();
    assert_eq!(bound.len(), roles, "{bound:?}");
    let texts = |of: &Value| of.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let mut rights = Rights::new();
    let roles =
        documents.iter().filter(|d| bound.contains(&d["metadata"]["name"].to_string()) && d["rules"].is_array());
    for rule in roles.flat_map(|role| role["rules"].as_array().unwrap()) {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    rights.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    rights
}

#[test]
fn every_right_of_the_operator_is_explained_and_no_other() {
    let explained = explained(include_str!("../docs/security.md"), "Permissions of the operator");
    // a role for the resources and one for the Lease
    let granted = granted(include_str!("../manifests/install.yaml"), 2);
    assert!(granted.len() > 30, "{granted:?}");
    let missing: Vec<_> = granted.difference(&explained).collect();
    let surplus: Vec<_> = explained.difference(&granted).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "not explained: {missing:?}; not granted: {surplus:?}");
}

/// What the operator may do besides where readers of its metrics are asked for a token.
#[test]
fn authentication_takes_two_rights_and_both_are_explained() {
    let rights = granted(include_str!("../manifests/kustomize/monitoring-authenticated/rights.yaml"), 1);
    let reviews = [("authentication.k8s.io", "tokenreviews"), ("authorization.k8s.io", "subjectaccessreviews")];
    let words = |(group, resource): (&str, &str)| (group.to_owned(), resource.to_owned(), "create".to_owned());
    assert_eq!(rights, reviews.map(words).into());
    let page = include_str!("../docs/security.md");
    for (group, resource) in reviews {
        assert!(page.contains(&format!("`{resource}`")) && page.contains(&format!("`{group}`")), "{resource}");
    }
}
