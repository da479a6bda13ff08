// Package containerguard answers alerts with actions. It consumes the alerts of its
// host from the bus. For each it finds the policies that apply (package policy), the
// container the alert is about (attribution, inventory) and what protects it (safety).
// Then it isolates the container (quarantine), blocks the source address in the bucket
// ironpost_blocklist, notifies a webhook (notify), and reports every step as an action
// on the bus. The way of an alert is alerts.go, evaluate.go, judge.go, respond.go, report.go. A Simulation decides
// about stored alerts with the same evaluator and judge, and does nothing.
//
// An alert is acknowledged when its orders are in the ledger, its notification and its
// corroboration are on disk, and its actions are stored. All ids derive from the alert,
// the policy and the target: for an alert that is delivered again an order is not carried
// out, a message not sent and an action not stored twice. Only a block is made again: it
// lasts from the new delivery on, also if an operator has removed it meanwhile.
//
// While Docker is away addresses are still blocked. What concerns a container waits on
// disk until Docker is back or the alert is too old to act on.
package containerguard
