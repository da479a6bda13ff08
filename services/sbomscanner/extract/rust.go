package extract

import (
	"compress/zlib"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"

	cpb "github.com/google/osv-scalibr/binary/proto/config_go_proto"
	"github.com/google/osv-scalibr/extractor/filesystem"
	"github.com/google/osv-scalibr/extractor/filesystem/language/rust/cargoauditable"
	scalibr "github.com/google/osv-scalibr/inventory"

	"github.com/ironpost/ironpost/services/sbomscanner/extract/java"
)

// maxAudit bounds what cargo-auditable wrote into a program, packed and unpacked.
const maxAudit = 8 << 20

// rustProgram returns scalibr's parser of what cargo-auditable wrote into ELF programs. That parser unpacks it
// whatever its size, so the size is found first.
func rustProgram(config *cpb.PluginConfig) (filesystem.Extractor, error) {
	e, err := cargoauditable.New(config)
	return rustParser{e}, err
}

type rustParser struct{ filesystem.Extractor }

// Extract reads the program if it has such a section within the limit.
func (p rustParser) Extract(ctx context.Context, in *filesystem.ScanInput) (scalibr.Inventory, error) {
	at, ok := in.Reader.(io.ReaderAt)
	if !ok {
		return scalibr.Inventory{}, nil
	}
	program, err := elf.NewFile(at)
	if err != nil {
		return scalibr.Inventory{}, nil //nolint:nilerr // not an ELF program
	}
	section := program.Section(".dep-v0")
	if section == nil {
		return scalibr.Inventory{}, nil
	}
	if err := checkAudit(section); err != nil {
		return scalibr.Inventory{}, err
	}
	return p.Extractor.Extract(ctx, in)
}

// checkAudit fails if the section is larger than the limit, as it is or unpacked.
func checkAudit(section *elf.Section) error {
	if n, _ := io.Copy(io.Discard, io.LimitReader(section.Open(), maxAudit+1)); n > maxAudit {
		return fmt.Errorf("section .dep-v0 %w of %d bytes", java.ErrTooLarge, maxAudit)
	}
	unpacked, err := zlib.NewReader(section.Open())
	if err != nil {
		return fmt.Errorf("section .dep-v0: %w", err)
	}
	_, err = io.CopyN(io.Discard, unpacked, maxAudit+1)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%w of %d bytes", java.ErrTooLarge, maxAudit)
	}
	return fmt.Errorf("section .dep-v0 %w", err)
}
