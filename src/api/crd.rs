//! The custom resource definition as it is installed: what is derived from the types, shortened.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use super::RedisReplication;

/// Fields that have Kubernetes' own types. Their documentation is Kubernetes' too, and long: with it the definition comes
/// near to what `kubectl apply` can keep in its annotation (256 KiB). Ours, on the field itself, stays.
pub(super) const KUBERNETES_TYPES: [&str; 7] = [
    "spec.affinity",
    "spec.imagePullSecrets",
    "spec.metrics.resources",
    "spec.resources",
    "spec.tolerations",
    "spec.topologySpreadConstraints",
    "status.conditions",
];

/// The definition to install. Use this, not `RedisReplication::crd()`.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = RedisReplication::crd();
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            describe(schema);
            for path in KUBERNETES_TYPES {
                if let Some(field) = path.split('.').try_fold(&mut *schema, property) {
                    let ours = field.description.take();
                    strip(field);
                    field.description = ours;
                }
            }
        }
    }
    crd
}

/// The derived text on the resource speaks of Rust types; what should be there is on the spec.
fn describe(root: &mut JSONSchemaProps) {
    let Some(spec) = property(root, "spec") else { return };
    let text = spec.description.replace("What is wanted.".into());
    root.description = text;
}

fn property<'a>(schema: &'a mut JSONSchemaProps, name: &str) -> Option<&'a mut JSONSchemaProps> {
    schema.properties.as_mut()?.get_mut(name)
}

/// Removes all descriptions.
fn strip(schema: &mut JSONSchemaProps) {
    schema.description = None;
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(strip);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => strip(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(strip),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        strip(values);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde_json::Value;

    use super::*;

    fn schema() -> Value {
        let crd = serde_json::to_value(crd()).unwrap();
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    }

    /// Every schema with its path.
    fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
        visit(path, schema);
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            walk(&format!("{path}.{name}"), property, visit);
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                walk(&format!("{path}[]"), &schema[inner], visit);
            }
        }
    }

    #[test]
    fn is_far_from_the_limit_of_an_annotation() {
        let bytes = serde_json::to_string(&crd()).unwrap().len();
        assert!(bytes < 64 * 1024, "{bytes} bytes");
    }

    #[test]
    fn every_field_of_ours_is_described() {
        let mut missing = Vec::new();
        walk("", &schema(), &mut |path, schema| {
            let kubernetes = KUBERNETES_TYPES
                .iter()
                .any(|field| path.strip_prefix(&format!(".{field}")).is_some_and(|rest| !rest.is_empty()));
            let standard = ["", ".spec", ".status"].contains(&path) || path.ends_with("[]");
            if !kubernetes && !standard && schema["description"].is_null() {
                missing.push(path.to_owned());
            }
        });
        assert_eq!(missing, Vec::<String>::new());
    }

    /// A user who changes a field wants to know beforehand what that does to the pods.
    #[test]
    fn every_field_of_the_spec_says_what_a_change_does() {
        let mut silent = Vec::new();
        let mut told: Vec<String> = Vec::new();
        walk("", &schema(), &mut |path, schema| {
            let text = schema["description"].as_str().unwrap_or_default();
            if ["restart", "an't be changed", "an't be\nadded"].iter().any(|words| text.contains(words)) {
                told.push(format!("{path}."));
                return;
            }
            let above = told.iter().any(|p| path.starts_with(p.as_str()));
            let section = ["", ".spec", ".spec.auth", ".spec.persistence"].contains(&path);
            if path.starts_with(".spec") && !path.contains('[') && !above && !section {
                silent.push(path.to_owned());
            }
        });
        assert_eq!(silent, Vec::<String>::new());
    }

    #[test]
    fn speaks_of_redis_not_of_rust() {
        let schema = schema();
        let root = schema["description"].as_str().unwrap();
        assert!(root.starts_with("One Redis or Valkey master"), "{root}");
        assert!(!serde_json::to_string(&schema).unwrap().contains("Auto-generated"));
    }

    #[test]
    fn number_formats_are_ones_that_kubernetes_knows() {
        walk("", &schema(), &mut |path, schema| {
            if let Some(format) = schema["format"].as_str() {
                assert!(["int32", "int64", "date-time"].contains(&format), "{path}: {format}");
            }
        });
    }

    #[test]
    fn unknown_fields_are_kept_only_in_pod_overrides() {
        let mut kept = Vec::new();
        walk("", &schema(), &mut |path, schema| {
            if schema["x-kubernetes-preserve-unknown-fields"] == true {
                kept.push(path.to_owned());
            }
        });
        assert_eq!(kept, [".spec.podOverrides"]);
    }
}
