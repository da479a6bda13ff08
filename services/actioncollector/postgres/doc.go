// Package postgres is the sink of the action collector that stores alerts and actions in PostgreSQL
// (package internal/storage). Each has a durable of its own. A record is acknowledged after its commit,
// so none is lost, and one that is delivered again is stored once. While PostgreSQL cannot store, the
// deliveries in hand are tried again and no more are requested: records wait in their stream, and the
// module is degraded and says how many.
package postgres
