//! Pure: a resource → the Kubernetes objects that it should have, one file per kind.
