package bpf

//go:generate go tool bpf2go -target bpfel -cc clang -strip llvm-strip -cflags "-O2 -g -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-function" -type state -type bank -type counters -type source -type target -type packet -type sample -type filter -type entry -type key4 -type scope -type scope_key -type addr -type count -type control program src/ironpost.c
//go:generate go tool bpf2go -target bpfel -cc clang -strip llvm-strip -cflags "-O2 -g -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-function" -type outgoing_target -type outgoing_state egress src/egress.c
//go:generate go tool bpf2go -target bpfel -cc clang -strip llvm-strip -cflags "-O2 -g -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-function" -type conversation cut src/cut.c
