// Package quarantine holds containers: it freezes them, takes them off their
// networks, kills them, keeps evidence, and gives everything back on release.
//
// What is wanted of a container is written to a ledger, with what it was like
// before, and synced to the disk before anything is done to it. From then on the
// Manager makes the container what the ledger says, whatever undoes it: a killed
// guard, a restarted engine, Docker Compose making the container anew, a person.
// Every step looks at the container first, so it does not matter how often, or
// from where, it is begun again.
//
// The order of an isolation is: intent, freeze, restart policy off, disconnect
// from all networks, verify, then evidence. Evidence comes after the networks
// because reading the changes of a large container takes seconds, during which
// the engine would not disconnect it; nothing can change meanwhile, for it is
// frozen. Kill comes after the evidence, and is never stop, which would thaw the
// container to let it say goodbye.
//
// Evidence has a limit on the disk. Room for more is made by removing the oldest of
// containers that are not held; where all are, more is refused and reported, and the
// container is held all the same.
//
// A release destroys the TCP connections that the frozen processes still hold
// before the first network comes back: otherwise an attacker's session would go
// on where it was cut. Where the container's network namespace cannot be entered,
// the container is killed and started again instead.
package quarantine
