// Package actioncollector has the sinks of alerts and actions. It writes every action of its host into an audit trail that shows whether it was
// changed (package audit). Actions come from the stream of actions; one is acknowledged only when its record
// is on the disk, so none is lost and a redelivered one is recorded once. The head of the trail is also
// stored in the bucket ironpost_audit, so that a cut end is detected. While the trail cannot be written the
// module is degraded and the actions wait in their stream. With Deps.Storage it also stores alerts and
// actions in PostgreSQL (package postgres), each sink with durables of its own.
package actioncollector
