//! Rights: what a user may do in a namespace, and what a bottle needs there.

use k8s_openapi::api::authorization::v1::{
    ResourceRule, SelfSubjectRulesReview, SelfSubjectRulesReviewSpec, SubjectRulesReviewStatus,
};
use kube::Api;
use kube::api::PostParams;

use crate::cluster::{Cluster, asked};
use crate::error::KubernetesError;

/// What is needed: verbs on resources of the core group. A WebSocket is a GET, and servers from 1.35 ask for `create` too.
pub(crate) const NEEDED: [(&str, &[&str]); 3] = [
    ("pods", &["create", "get", "list", "watch", "delete"]),
    ("pods/exec", &["create", "get"]),
    ("pods/log", &["get"]),
];

/// Fails when a right is missing. A server that does not know all rights of a user says so, and is not judged by them.
pub(crate) async fn check(cluster: &Cluster) -> Result<(), KubernetesError> {
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec { namespace: Some(cluster.namespace.clone()) },
        ..SelfSubjectRulesReview::default()
    };
    let api: Api<SelfSubjectRulesReview> = Api::all(cluster.client.clone());
    let review = asked("read your rights", api.create(&PostParams::default(), &review)).await?;
    match review.status.as_ref().and_then(missing) {
        None => Ok(()),
        Some(missing) => {
            Err(KubernetesError::MissingRights { namespace: cluster.namespace.clone(), missing })
        }
    }
}

/// Returns the first right that is missing: "create pods/exec".
fn missing(status: &SubjectRulesReviewStatus) -> Option<String> {
    if status.incomplete {
        return None;
    }
    let needed = NEEDED.iter().flat_map(|(resource, verbs)| verbs.iter().map(move |verb| (*resource, *verb)));
    let mut missing = needed
        .filter(|(resource, verb)| !status.resource_rules.iter().any(|rule| grants(rule, resource, verb)));
    missing.next().map(|(resource, verb)| format!("{verb} {resource}"))
}

/// Returns `true` if a rule lets everything of this kind be done. One that names objects does not.
fn grants(rule: &ResourceRule, resource: &str, verb: &str) -> bool {
    let has = |list: Option<&Vec<String>>, wanted: &str| {
        list.is_some_and(|list| list.iter().any(|item| item == wanted || item == "*"))
    };
    has(rule.api_groups.as_ref(), "")
        && has(rule.resources.as_ref(), resource)
        && has(Some(&rule.verbs), verb)
        && rule.resource_names.as_ref().is_none_or(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(resources: &[&str], verbs: &[&str]) -> ResourceRule {
        let list = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect::<Vec<_>>();
        ResourceRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(list(resources)),
            verbs: list(verbs),
            resource_names: None,
        }
    }

    #[test]
    fn each_right_that_is_missing_is_named() {
        let whole: Vec<ResourceRule> =
            NEEDED.iter().map(|(resource, verbs)| rule(&[*resource], verbs)).collect();
        let status = |resource_rules: Vec<ResourceRule>| SubjectRulesReviewStatus {
            resource_rules,
            ..SubjectRulesReviewStatus::default()
        };
        assert_eq!(missing(&status(whole.clone())), None);
        for (index, (resource, verbs)) in NEEDED.iter().enumerate() {
            for verb in *verbs {
                let mut less = whole.clone();
                less[index].verbs.retain(|other| other != verb);
                assert_eq!(missing(&status(less)), Some(format!("{verb} {resource}")));
            }
        }
        assert_eq!(missing(&status(vec![rule(&["*"], &["*"])])), None);
        let mut named = whole;
        named[0].resource_names = Some(vec!["one".to_owned()]);
        assert_eq!(missing(&status(named)), Some("create pods".to_owned()));
    }
}
