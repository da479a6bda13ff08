// Package event defines the records on the bus: Packet (what the packet engine saw),
// Log (a line as it will be stored), Alert (what a rule matched), Action (what was done
// about it), ModuleHealth and DaemonHealth. It also makes content ids (ID) and cuts and cleans text (Shorten, Printable).
//
// Records are JSON with a schema number. Readers ignore fields that this version does
// not know, so old and new modules can share a bus. Encode keeps every record within
// MaxSize. The package uses the standard library only; testdata holds the golden form of
// every record, which is the contract with other programs on the bus.
package event
