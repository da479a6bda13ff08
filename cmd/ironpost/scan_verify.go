package main

// verifyReport compares the findings with those of the second engine.
type verifyReport struct {
	Engine      string       `json:"engine"` // name and version
	Common      int          `json:"common"`
	Differences []difference `json:"differences"`
}

// difference is a finding of only one engine.
type difference struct {
	PURL   string `json:"purl"`
	ID     string `json:"id"`
	OnlyIn string `json:"only_in"` // ironpost or osv-scanner
	Reason string `json:"reason"`
}
