"""The campaign: joins the network and the physics, keeps the journal, talks to people and to MLflow."""

CREATED_BY = "janus-al 0.1.0"
