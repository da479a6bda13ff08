package bus

import "time"

// Permission is the permission of one key. Inbox is the prefix of its reply subjects. If
// Responses is not zero, it may answer a request on its reply subject, that many times
// within ResponseTime.
type Permission struct {
	Inbox         string
	Publish       []string
	Subscribe     []string
	DenyPublish   []string
	DenySubscribe []string
	Responses     int
	ResponseTime  time.Duration
}

// Permissions returns the permissions of module on host: its own subject, durables, buckets,
// inbox and verbs, the verbs of others that its row names, and nothing else. An unknown module has none.
func Permissions(module, host string) Permission {
	switch module {
	case Daemon:
		return daemonPermission(host)
	case Operator:
		return operatorPermission()
	case Edge:
		return edgePermission(host)
	}
	m, known := moduleNamed(module)
	if !known {
		return Permission{DenyPublish: []string{">"}, DenySubscribe: []string{">"}}
	}
	p := servicePermission(module, host)
	p.produce(m.Produces, module, host)
	p.consume(m, host)
	p.read(m.Reads)
	p.write(m.Writes)
	for _, q := range m.Asks {
		p.Publish = append(p.Publish, VerbSubject(q.Module, host, q.Verb))
	}
	if m.Name == Forwarder {
		p.forward(m, host)
	}
	return p
}

// forward permits the forwarder to have its durables deliver again in order, to read records of
// the streams that it consumes, and to write the hub's part of the blocklist.
func (p *Permission) forward(m Module, host string) {
	for _, d := range m.durables(host, InFlight{}.filled()) {
		p.Publish = append(p.Publish, "$JS.API.CONSUMER.RESET."+string(d.Stream)+"."+d.Name, "$JS.API.DIRECT.GET."+string(d.Stream))
	}
	p.Publish = append(p.Publish, "$KV."+BlocklistBucket+"."+hubKeys+">")
}

// edgePermission permits a daemon to publish on the hub the records of every module of its host, to
// read the last one of each, to read the blocklist, and to answer for its host.
func edgePermission(host string) Permission {
	p := servicePermission(Daemon, host)
	p.Inbox, p.Subscribe[0] = InboxPrefix(Edge, host), InboxPrefix(Edge, host)+".>"
	for _, s := range []StreamName{Alerts, Actions} {
		subject := subjectOf(s, "*", host)
		p.Publish = append(p.Publish, subject, "$JS.API.DIRECT.GET."+string(s)+"."+subject)
	}
	p.read([]string{BlocklistBucket})
	return p
}

// maxAnswers is how often a request may be answered: a ping is, once by each micro service
// of a connection, of which a module has one for its status and one for its verbs.
const maxAnswers = 4

// answerTime is for how long after a request it may be answered.
const answerTime = 5 * time.Second

// servicePermission permits being a micro service.
func servicePermission(module, host string) Permission {
	p := Permission{
		Inbox:        InboxPrefix(module, host),
		Subscribe:    []string{InboxPrefix(module, host) + ".>", VerbSubject(module, host, "*"), actSubjects(module, host)},
		Responses:    maxAnswers,
		ResponseTime: answerTime,
	}
	name := ServiceName(module)
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		p.Subscribe = append(p.Subscribe, "$SRV."+verb, "$SRV."+verb+"."+name, "$SRV."+verb+"."+name+".*")
	}
	return p
}

// produce permits the module's own subject, and reading what is stored on it: a publisher reads back
// what it stored before it publishes a record again. A request for more than the last record names its subject in the payload,
// which the server does not check: the listener of an embedded bus does.
func (p *Permission) produce(streams []StreamName, module, host string) {
	for _, s := range streams {
		p.Publish = append(p.Publish, subjectOf(s, module, host), "$JS.API.DIRECT.GET."+string(s), "$JS.API.DIRECT.GET."+string(s)+"."+subjectOf(s, module, host))
	}
}

// consume permits the module's durables and its dead letters.
func (p *Permission) consume(m Module, host string) {
	for _, d := range m.durables(host, InFlight{}.filled()) {
		tail := string(d.Stream) + "." + d.Name
		p.Publish = append(p.Publish, "$JS.API.CONSUMER.INFO."+tail, "$JS.API.CONSUMER.MSG.NEXT."+tail, "$JS.ACK."+tail+".>")
		p.Publish = append(p.Publish, DLQSubject(m.Name, host))
	}
}

// read permits getting and watching buckets, without a consumer: a client that may make one
// chooses where the server delivers.
func (p *Permission) read(buckets []string) {
	for _, b := range buckets {
		get := "$JS.API.DIRECT.GET." + string(bucketStream(b))
		p.Publish = append(p.Publish, "$JS.API.STREAM.INFO."+string(bucketStream(b)), get, get+".>")
		p.Subscribe = append(p.Subscribe, bucketChanges(b))
	}
}

func (p *Permission) write(buckets []string) {
	for _, b := range buckets {
		keys := ">"
		if b == BlocklistBucket {
			keys = "*" // not those of the hub
		}
		p.Publish = append(p.Publish, "$KV."+b+"."+keys)
	}
}

// daemonPermission permits provisioning, stream maintenance, publishing health, requests to
// modules, the daemon's own verbs, and what operators have it do: editing the blocklist, and actions of its own; but not publishing as a module.
func daemonPermission(host string) Permission {
	p := servicePermission(Daemon, host)
	p.Publish = append(p.Publish, "$JS.API.>", HealthSubject, svcRoot+".>", "$SRV.>")
	p.Subscribe = append(p.Subscribe, "$JS.EVENT.ADVISORY.>")
	p.produce([]StreamName{Actions}, Daemon, host)
	p.read([]string{BlocklistBucket, TrustBucket})
	p.write([]string{BlocklistBucket, TrustBucket})
	return p
}

// operatorPermission permits watching and reading everything, and requests to any module, but neither publishing records
// nor changing a stream or a bucket. Which acts an operator may ask for, OperatorActs says.
func operatorPermission() Permission {
	p := Permission{Inbox: InboxPrefix(Operator, "")}
	p.Subscribe = []string{p.Inbox + ".>", RepublishedPackets, RepublishedAlerts, RepublishedActions, HealthSubject}
	p.Publish = []string{"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$SRV.>", VerbSubject("*", "*", "*")}
	for _, s := range []StreamName{Packets, Alerts, Actions, DLQ} {
		p.Publish = append(p.Publish, "$JS.API.DIRECT.GET."+string(s), "$JS.API.DIRECT.GET."+string(s)+".>", "$JS.API.STREAM.INFO."+string(s),
			"$JS.API.CONSUMER.LIST."+string(s), "$JS.API.CONSUMER.INFO."+string(s)+".*")
	}
	p.read([]string{BlocklistBucket, AuditBucket})
	return p
}

// OperatorActs permits the operator of a token to ask any module for its acts; "*" is for a listener that checks the token.
func (p *Permission) OperatorActs(token string) {
	p.Publish = append(p.Publish, ActSubject("*", "*", "*", token))
}

// subjectOf returns the subject on which module on host publishes to stream.
func subjectOf(stream StreamName, module, host string) string {
	switch stream {
	case Packets:
		return PacketSubject(module, host)
	case Alerts:
		return AlertSubject(module, host)
	case Actions:
		return ActionSubject(module, host)
	}
	return DLQSubject(module, host)
}
