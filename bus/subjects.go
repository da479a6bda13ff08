package bus

import "strings"

// The connections that belong to no module: Daemon provisions and supervises, Operator
// is the CLI. Forwarder is a part of an edge, a daemon that sends its records to the bus of another
// one, the hub; Edge is the key of that daemon on the hub.
const (
	Daemon    = "daemon"
	Operator  = "operator"
	Forwarder = "forwarder"
	Edge      = "edge"
)

// The accounts of the server: modules, the daemon and operators share one; an
// observer has one of its own, in which only the republished subjects exist.
const (
	AccountApp      = "IRONPOST"
	AccountObserver = "OBSERVER"
	AccountSystem   = "SYS"
)

// The subjects on which streams republish what they stored, so that a plain subscriber
// gets each stored record once, and the one with the daemon's health, which is not stored.
const (
	RepublishedPackets = "ironpost.packets"
	RepublishedAlerts  = "ironpost.alerts"
	RepublishedActions = "ironpost.actions"
	HealthSubject      = "ironpost.health"
)

const (
	dlqRoot = "ironpost.dlq"
	svcRoot = "ironpost.svc"
	kvRoot  = "ironpost.kv"

	inboxRoot = "_INBOX"
)

// ObserverSubjects returns the subjects that anyone on the machine may watch.
func ObserverSubjects() []string {
	return []string{RepublishedAlerts, RepublishedActions, HealthSubject}
}

// PacketSubject is where module publishes packets that host saw. Both are one
// token; see HostToken.
func PacketSubject(module, host string) string { return join(RepublishedPackets, module, host) }

// AlertSubject is where module publishes alerts about host.
func AlertSubject(module, host string) string { return join(RepublishedAlerts, module, host) }

// ActionSubject is where module publishes actions taken on host.
func ActionSubject(module, host string) string { return join(RepublishedActions, module, host) }

// DLQSubject is where module on host copies what it could not use.
func DLQSubject(module, host string) string { return join(dlqRoot, module, host) }

// VerbSubject is where module on host answers verb, such as "status".
func VerbSubject(module, host, verb string) string { return join(svcRoot, module, host, verb) }

// bucketChanges returns the subject on which changes of bucket are republished, without the
// values.
func bucketChanges(bucket string) string { return join(kvRoot, bucket, ">") }

// bucketStream is the stream behind bucket.
func bucketStream(bucket string) StreamName { return StreamName("KV_" + bucket) }

// ServiceName is the name of module among the NATS micro services.
func ServiceName(module string) string { return "ironpost-" + module }

// InboxPrefix is the prefix of the reply subjects of module on host. Each has its
// own, so that no module reads the answers to another; operators share one.
func InboxPrefix(module, host string) string {
	if module == Operator {
		return inboxRoot + "_" + Operator
	}
	return inboxRoot + "_" + module + "_" + host
}

// HostToken makes one subject token of a host name: lower case, every character
// but letters, digits and "-" replaced by "-". An empty name becomes "localhost".
func HostToken(name string) string {
	if name == "" {
		return "localhost"
	}
	return strings.Map(tokenRune, strings.ToLower(name))
}

func tokenRune(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
		return r
	}
	return '-'
}

func join(tokens ...string) string { return strings.Join(tokens, ".") }

// origin returns the module and the host of a captured subject: its third and
// fourth token.
func origin(subject string) (module, host string) {
	tokens := strings.Split(subject, ".")
	if len(tokens) != 4 {
		return "", ""
	}
	return tokens[2], tokens[3]
}
