// Package containerguard answers alerts. It matches each to the policies (package
// policy), finds the container it is about (attribution, inventory), makes sure that
// acting does no harm (safety), holds the container (quarantine), blocks the source
// address through the bucket ironpost_blocklist, tells a webhook (notify), and
// reports every step as an action on the bus.
//
// An alert is acknowledged when its effects are in the ledger, its notification and
// its vote are on the disk, and its reports are stored. All of them have ids that follow from the alert and the policy, so an alert
// that is delivered again doubles nothing.
//
// Docker may be away: addresses are blocked all the same, and what is to be done to a
// container waits, on the disk, until the alert is too old to be acted on.
package containerguard
