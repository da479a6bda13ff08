package parse

// Format is the format in which a line was recognised: of its outermost layer that is no envelope, if there is one.
type Format string

// The formats.
const (
	Plain       Format = "plain"
	RFC3164     Format = "rfc3164"
	RFC5424     Format = "rfc5424"
	JSON        Format = "json"
	Access      Format = "access"
	Uvicorn     Format = "uvicorn"
	WebJSON     Format = "web_json"
	HAProxy     Format = "haproxy"
	NginxError  Format = "nginx_error"
	PHP         Format = "php"
	Lighttpd    Format = "lighttpd_error"
	Squid       Format = "squid"
	Envoy       Format = "envoy"
	ALB         Format = "aws_alb"
	ApacheError Format = "apache_error"
	CEF         Format = "cef"
	LEEF        Format = "leef"
	PANOS       Format = "pan_os"
	FortiGate   Format = "fortigate"
	Logfmt      Format = "logfmt"
	Journal     Format = "journal" // a message whose header came apart from it, see ParseMessage
	CRI         Format = "cri"
	JournalJSON Format = "journal_json" // journalctl -o json
	DockerJSON  Format = "docker_json"  // the json-file driver of Docker, and shippers that keep its form
	ECS         Format = "ecs"          // Elastic Common Schema
	SyslogJSON  Format = "syslog_json"  // a syslog message whose parts are members, as of rsyslog, syslog-ng, Vector and Fluent Bit
	Named       Format = "named"        // the own files of BIND, unbound and CoreDNS
	Unbound     Format = "unbound"
	Vsftpd      Format = "vsftpd" // the own files of these servers
	MySQL       Format = "mysql"
	PostgreSQL  Format = "postgresql"
	MongoDB     Format = "mongodb"
	Redis       Format = "redis"
	Exim        Format = "exim"
	Fail2ban    Format = "fail2ban"
	Samba       Format = "samba"
	Asterisk    Format = "asterisk"
	OpenVPN     Format = "openvpn"
	CoreDNS     Format = "coredns"
)

// An envelope is a record around a line, whose writer is not the program of the line. cut sets the fields that the record itself has and
// returns the line inside, or false if text is no such record; then it leaves ev unchanged.
var envelopes = []struct {
	name Format
	cut  func(ev *Event, text string) (inner string, ok bool)
}{
	{CRI, cutCRI},
}

// digits are what a text that begins with a number or a time begins with.
const digits = "0123456789"

// dayFormats are formats of files whose lines begin with a day of the week and a time, as those of syslog can.
var dayFormats = []textFormat{
	{Vsftpd, "", parseVsftpdFile},
	{OpenVPN, "", parseOpenVPNFile},
}

// A textFormat is recognised by the content of a text. parse reports whether text is of the format; if not, it leaves ev unchanged. begin is
// the characters that a text of the format can begin with, all if it is empty.
type textFormat struct {
	name  Format
	begin string
	parse func(ev *Event, text string) bool
}

// textFormats are the formats of lines without a header, and of messages of programs that are not known; the first that fits is used.
var textFormats = []textFormat{
	{JSON, "{[", parseJSON},
	{ApacheError, "[", parseApacheError},
	{Unbound, "[", parseUnboundFile},
	{CoreDNS, digits + "[", parseCoreDNS},
	{Named, digits, parseNamedFile},
	{MySQL, digits, parseMySQLFile},
	{PostgreSQL, digits, parsePostgresFile},
	{Redis, digits, parseRedisFile},
	{Exim, digits, parseEximFile},
	{Fail2ban, digits, parseFail2banFile},
	{OpenVPN, digits, parseOpenVPNFile},
	{Samba, "A", parseSambaFile},
	{Asterisk, "[", parseAsterisk},
	{Audit, "tna", parseAuditLine},
	{Sysmon, "<", parseSysmonLine},
	{NginxError, digits, parseNginxError},
	{HAProxy, digits + "abcdefC:", parseHAProxy},
	{Uvicorn, digits + "I[", parseUvicorn},
	{PHP, "[", parsePHP},
	{Lighttpd, digits, parseLighttpdError},
	{Squid, digits, parseSquid},
	{Envoy, "[", parseEnvoy},
	{ALB, "hwg", parseALB},
	{CEF, "C", parseCEF},
	{LEEF, "L", parseLEEF},
	{PANOS, digits, parsePANOS},
	{FortiGate, "", parseFortiGate},
	{Logfmt, "", parseLogfmt},
	{Access, "", parseAccess},
	{JSON, "", parseObjectBehindText},
}

// jsonFormats are recognised by the members of a JSON object, which are fields already. parse reports whether the object is of the
// format, and sets the fields that rules for it expect.
var jsonFormats = []struct {
	name  Format
	parse func(ev *Event) bool
}{
	{MongoDB, parseMongo},
	{Laurel, parseLaurel},
	{Suricata, parseSuricata},
	{Zeek, parseZeek},
	{Falco, parseFalco},
	{Auditbeat, parseAuditbeat},
	{WebJSON, parseWebJSON},
}

// jsonEnvelopes are objects around a line, recognised by members that no other object has. cut leaves the line in ev.inner, and sets what
// the object says of it, or reports that the object is none and leaves ev unchanged. jsonRecords are those that are only tried of an
// object that no format knows.
var (
	jsonEnvelopes = []jsonEnvelope{
		{JournalJSON, cutJournalJSON},
		{DockerJSON, cutContainerJSON},
	}
	jsonRecords = []jsonEnvelope{
		{ECS, cutECS},
		{SyslogJSON, cutSyslogJSON},
	}
)

type jsonEnvelope struct {
	name Format
	cut  func(ev *Event) bool
}
