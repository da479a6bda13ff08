// Package event defines the records that travel on the bus: what an engine saw
// (Packet), a stored line (Log), what a rule concluded (Alert), what was done
// about it (Action) and how a module feels (ModuleHealth, DaemonHealth).
//
// Records are JSON, carry a schema number and are read leniently: fields this
// version does not know are ignored, so old and new modules mix on one bus.
// What a record may weigh is capped by Encode, never by its reader's patience.
// The package uses the standard library only; testdata holds the golden form of
// every record, which is the contract with every other program on the bus.
package event
