// Package audit reads the records of the Linux audit system, as auditd writes them to audit.log, and joins those of one event. The format is
// that of audit_log_format in the kernel (kernel/audit.c) and of auditd's enriched events (auditd.conf(5), log_format). Records may be
// anything: every function is bounded and none fails.
package audit
