package bus

import "time"

// Permission is what one key may do. Inbox is the prefix its replies come to.
// Where Responses is not zero, it may answer a request on the reply subject it
// carries, that many times within ResponseTime.
type Permission struct {
	Inbox         string
	Publish       []string
	Subscribe     []string
	DenyPublish   []string
	DenySubscribe []string
	Responses     int
	ResponseTime  time.Duration
}

// Permissions returns what module on host may do, and nothing more: its own
// subject, the durables of the table that are its own, its buckets, its inbox and
// its status endpoints. An unknown module may do nothing.
func Permissions(module, host string) Permission {
	switch module {
	case Daemon:
		return daemonPermission(host)
	case Operator:
		return operatorPermission()
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
	return p
}

// maxAnswers is how often a request may be answered: a ping is, once by each micro service
// of a connection, of which a module has one for its status and one for its verbs.
const maxAnswers = 4

// servicePermission is what it takes to be a micro service.
func servicePermission(module, host string) Permission {
	p := Permission{
		Inbox:        InboxPrefix(module, host),
		Subscribe:    []string{InboxPrefix(module, host) + ".>", VerbSubject(module, host, "*")},
		Responses:    maxAnswers,
		ResponseTime: 5 * time.Second,
	}
	name := ServiceName(module)
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		p.Subscribe = append(p.Subscribe, "$SRV."+verb, "$SRV."+verb+"."+name, "$SRV."+verb+"."+name+".*")
	}
	return p
}

// produce allows the module's own subject, and reading the stream back: a producer
// looks up what it stored before it sends a record again.
func (p *Permission) produce(streams []StreamName, module, host string) {
	for _, s := range streams {
		p.Publish = append(p.Publish, subjectOf(s, module, host), "$JS.API.DIRECT.GET."+string(s))
	}
}

// consume allows the module's durables, and its dead letters.
func (p *Permission) consume(m Module, host string) {
	for _, d := range m.durables(host, InFlight{}.filled()) {
		tail := string(d.Stream) + "." + d.Name
		p.Publish = append(p.Publish, "$JS.API.CONSUMER.INFO."+tail, "$JS.API.CONSUMER.MSG.NEXT."+tail, "$JS.ACK."+tail+".>")
		p.Publish = append(p.Publish, DLQSubject(m.Name, host))
	}
}

// read allows getting and watching, without a consumer: who may make one chooses where
// the server delivers.
func (p *Permission) read(buckets []string) {
	for _, b := range buckets {
		get := "$JS.API.DIRECT.GET." + string(bucketStream(b))
		p.Publish = append(p.Publish, "$JS.API.STREAM.INFO."+string(bucketStream(b)), get, get+".>")
		p.Subscribe = append(p.Subscribe, bucketFeed(b))
	}
}

func (p *Permission) write(buckets []string) {
	for _, b := range buckets {
		p.Publish = append(p.Publish, "$KV."+b+".>")
	}
}

// daemonPermission provisions, sheds history, publishes health, asks modules and
// answers for the daemon itself. It may not speak as a module.
func daemonPermission(host string) Permission {
	p := servicePermission(Daemon, host)
	p.Publish = append(p.Publish, "$JS.API.>", HealthSubject, svcRoot+".>", "$SRV.>")
	p.Subscribe = append(p.Subscribe, "$JS.EVENT.ADVISORY.>")
	return p
}

// operatorPermission watches and reads everything, asks any module, and edits the
// blocklist. It may not publish records, nor change a stream.
func operatorPermission() Permission {
	p := Permission{Inbox: InboxPrefix(Operator, "")}
	p.Subscribe = []string{p.Inbox + ".>", RepublishedPackets, RepublishedAlerts, RepublishedActions, HealthSubject}
	p.Publish = []string{"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$SRV.>", svcRoot + ".>"}
	for _, s := range []StreamName{Packets, Alerts, Actions, DLQ} {
		p.Publish = append(p.Publish, "$JS.API.DIRECT.GET."+string(s), "$JS.API.STREAM.INFO."+string(s),
			"$JS.API.CONSUMER.LIST."+string(s), "$JS.API.CONSUMER.INFO."+string(s)+".*")
	}
	p.read([]string{BlocklistBucket, AuditBucket})
	p.write([]string{BlocklistBucket})
	return p
}

// subjectOf is where module on host publishes what stream captures.
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
