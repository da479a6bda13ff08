package advisory

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"strings"
)

// Limits of an archive. Sizes that its directory states are checked before anything is unpacked, and no file is unpacked
// beyond its stated size, so they bound the work.
const (
	maxArchiveBytes  = 4 << 30
	maxArchiveFiles  = 1_000_000
	maxUnpackedBytes = 16 << 30
	maxUnpackedRatio = 100
	minRatioBytes    = 64 << 20 // archives that unpack to less than this have no limit of the ratio
)

// Parts of a zip archive (PKWARE APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.16).
const (
	localSignature     = 0x04034b50
	directorySignature = 0x02014b50
	endSignature       = 0x06054b50
	end64Signature     = 0x06064b50
	locatorSignature   = 0x07064b50

	localSize     = 30
	directorySize = 46
	endSize       = 22
	end64Size     = 56
	locatorSize   = 20
	maxComment    = math.MaxUint16

	encryptedFlag = 1
	stored        = 0
	deflated      = 8
	zip64Extra    = 1
)

// archive reads a zip file entry by entry. Package archive/zip keeps every entry in memory, some 300 bytes each, for as many as
// the file has.
type archive struct {
	r         io.ReaderAt
	directory *io.SectionReader
	files     int // entries of the directory
	packed    *bufio.Reader
	inflate   io.ReadCloser
	buffer    bytes.Buffer
}

// archiveFile is one entry of the directory.
type archiveFile struct {
	name       string
	method     uint16
	flags      uint16
	sum        uint32
	packed     uint64
	unpacked   uint64
	headerFrom uint64
}

// newArchive reads the end of a zip file and checks its directory against the limits.
func newArchive(r io.ReaderAt, size int64) (*archive, error) {
	if size > maxArchiveBytes {
		return nil, fmt.Errorf("the archive has more than %d bytes", int64(maxArchiveBytes))
	}
	a := &archive{r: r, packed: bufio.NewReader(nil), inflate: flate.NewReader(strings.NewReader(""))}
	if err := a.readEnd(size); err != nil {
		return nil, fmt.Errorf("it is not a complete zip archive: %w", err)
	}
	var packed, unpacked uint64
	err := a.entries(func(f archiveFile) error {
		packed, unpacked = packed+min(f.packed, maxArchiveBytes+1), unpacked+min(f.unpacked, maxUnpackedBytes+1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if packed > uint64(size) {
		return nil, errors.New("the files in the archive overlap")
	}
	if unpacked > maxUnpackedBytes || unpacked > minRatioBytes && unpacked/maxUnpackedRatio > uint64(size) {
		return nil, fmt.Errorf("the archive of %d bytes says that it unpacks to %d: at most %d bytes and %d times its size are allowed",
			size, unpacked, int64(maxUnpackedBytes), maxUnpackedRatio)
	}
	return a, nil
}

// readEnd finds the directory through the end record.
func (a *archive) readEnd(size int64) error {
	tail := make([]byte, min(size, endSize+maxComment))
	if _, err := a.r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	at := bytes.LastIndex(tail, binary.LittleEndian.AppendUint32(nil, endSignature))
	if at < 0 || len(tail)-at < endSize {
		return errors.New("its end is missing")
	}
	end := tail[at:]
	files := uint64(binary.LittleEndian.Uint16(end[10:]))
	length := uint64(binary.LittleEndian.Uint32(end[12:]))
	offset := uint64(binary.LittleEndian.Uint32(end[16:]))
	if files == math.MaxUint16 || length == math.MaxUint32 || offset == math.MaxUint32 {
		var err error
		if files, length, offset, err = a.readEnd64(size - int64(len(tail)) + int64(at) - locatorSize); err != nil {
			return err
		}
	}
	if files > maxArchiveFiles {
		return fmt.Errorf("it has %d files: at most %d are allowed", files, maxArchiveFiles)
	}
	if offset > uint64(size) || length > uint64(size)-offset {
		return errors.New("its directory lies outside of it")
	}
	a.files = int(files)
	a.directory = io.NewSectionReader(a.r, int64(offset), int64(length))
	return nil
}

func (a *archive) readEnd64(locatorAt int64) (files, length, offset uint64, err error) {
	locator := make([]byte, locatorSize)
	if locatorAt < 0 {
		return 0, 0, 0, errors.New("its zip64 locator is missing")
	}
	if _, err := a.r.ReadAt(locator, locatorAt); err != nil {
		return 0, 0, 0, err
	}
	at := binary.LittleEndian.Uint64(locator[8:])
	if binary.LittleEndian.Uint32(locator) != locatorSignature || at > uint64(locatorAt) {
		return 0, 0, 0, errors.New("its zip64 locator is missing")
	}
	end := make([]byte, end64Size)
	if _, err := a.r.ReadAt(end, int64(at)); err != nil {
		return 0, 0, 0, err
	}
	if binary.LittleEndian.Uint32(end) != end64Signature {
		return 0, 0, 0, errors.New("its zip64 end record is missing")
	}
	return binary.LittleEndian.Uint64(end[32:]), binary.LittleEndian.Uint64(end[40:]), binary.LittleEndian.Uint64(end[48:]), nil
}

// entries calls fn for each entry of the directory until it returns an error.
func (a *archive) entries(fn func(archiveFile) error) error {
	if _, err := a.directory.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in := bufio.NewReaderSize(a.directory, 128<<10)
	for i := range a.files {
		f, err := readEntry(in)
		if err != nil {
			return fmt.Errorf("entry %d of the archive's directory: %w", i+1, err)
		}
		if err := fn(f); err != nil {
			return err
		}
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.New("the archive's directory has more entries than its end record says")
	}
	return nil
}

func readEntry(in *bufio.Reader) (archiveFile, error) {
	var head [directorySize]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return archiveFile{}, err
	}
	if binary.LittleEndian.Uint32(head[:]) != directorySignature {
		return archiveFile{}, errors.New("its signature is missing")
	}
	nameSize, extraSize := int(binary.LittleEndian.Uint16(head[28:])), int(binary.LittleEndian.Uint16(head[30:]))
	commentSize := int(binary.LittleEndian.Uint16(head[32:]))
	rest := make([]byte, nameSize+extraSize+commentSize)
	if _, err := io.ReadFull(in, rest); err != nil {
		return archiveFile{}, err
	}
	f := archiveFile{
		name:       string(rest[:nameSize]),
		flags:      binary.LittleEndian.Uint16(head[8:]),
		method:     binary.LittleEndian.Uint16(head[10:]),
		sum:        binary.LittleEndian.Uint32(head[16:]),
		packed:     uint64(binary.LittleEndian.Uint32(head[20:])),
		unpacked:   uint64(binary.LittleEndian.Uint32(head[24:])),
		headerFrom: uint64(binary.LittleEndian.Uint32(head[42:])),
	}
	return f, f.readExtra(rest[nameSize : nameSize+extraSize])
}

// readExtra takes the values that do not fit in 32 bits from the zip64 field.
func (f *archiveFile) readExtra(extra []byte) error {
	for len(extra) >= 4 {
		tag, size := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if extra = extra[4:]; size > len(extra) {
			return errors.New("its extra field is cut off")
		}
		if tag == zip64Extra {
			return f.readExtra64(extra[:size])
		}
		extra = extra[size:]
	}
	return nil
}

func (f *archiveFile) readExtra64(field []byte) error {
	for _, value := range []*uint64{&f.unpacked, &f.packed, &f.headerFrom} {
		if *value != math.MaxUint32 {
			continue
		}
		if len(field) < 8 {
			return errors.New("its zip64 field is cut off")
		}
		*value, field = binary.LittleEndian.Uint64(field), field[8:]
	}
	return nil
}

// read unpacks one file. What it returns is valid until the next call. Errors are refusals.
func (a *archive) read(f archiveFile) ([]byte, error) {
	if f.unpacked > maxRecordBytes {
		return nil, refuse(refusedSize, "it has %d bytes: at most %d are allowed", f.unpacked, maxRecordBytes)
	}
	if f.flags&encryptedFlag != 0 || f.method != stored && f.method != deflated {
		return nil, refuse(refusedArchive, "it is encrypted or packed by method %d: only stored and deflated files are read", f.method)
	}
	in, err := a.open(f)
	if err != nil {
		return nil, &refusal{reason: refusedArchive, cause: err}
	}
	a.buffer.Reset()
	n, err := a.buffer.ReadFrom(io.LimitReader(in, int64(f.unpacked)+1))
	if err != nil {
		return nil, &refusal{reason: refusedArchive, cause: err}
	}
	if uint64(n) != f.unpacked || crc32.ChecksumIEEE(a.buffer.Bytes()) != f.sum {
		return nil, refuse(refusedArchive, "it does not have the size or checksum that the archive's directory says")
	}
	return a.buffer.Bytes(), nil
}

func (a *archive) open(f archiveFile) (io.Reader, error) {
	var head [localSize]byte
	if f.headerFrom > maxArchiveBytes {
		return nil, errors.New("it lies outside of the archive")
	}
	if _, err := a.r.ReadAt(head[:], int64(f.headerFrom)); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(head[:]) != localSignature {
		return nil, errors.New("its local header is missing")
	}
	from := int64(f.headerFrom) + localSize + int64(binary.LittleEndian.Uint16(head[26:])) + int64(binary.LittleEndian.Uint16(head[28:]))
	a.packed.Reset(io.NewSectionReader(a.r, from, int64(f.packed)))
	if f.method == stored {
		return a.packed, nil
	}
	if err := a.inflate.(flate.Resetter).Reset(a.packed, nil); err != nil {
		return nil, err
	}
	return a.inflate, nil
}
