// Package quarantine isolates containers: it freezes them, disconnects them from
// their networks, kills them, collects evidence, and restores everything on release.
//
// An order is written to the ledger, together with what the container was like, and
// synced to the disk before anything is done. From then on the Manager keeps the
// container as the ledger says, whatever undoes it: a killed guard, a restarted
// dockerd, Docker Compose recreating the container, a person. Each step inspects the
// container first, so it may be repeated at any time. What Ironpost did and why goes
// to Options.Report as actions.
//
// states.go has the states of a ledger entry and the steps of isolation and release.
package quarantine
