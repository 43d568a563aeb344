;; The type stripper behind the boundary of an isolate. `boot` takes one TypeScript source and
;; returns "0" and JavaScript, or "1" and what is wrong with the source; nothing is imported.
(component
  (core module $stripper)

  (core module $shim
    (table (export "table") 3 3 funcref)
    (type $two (func (param i32 i32) (result i32)))
    (type $four (func (param i32 i32 i32 i32) (result i32)))
    (func (export "random_get") (type $two)
      local.get 0 local.get 1 (call_indirect (type $two) (i32.const 0)))
    (func (export "environ_sizes_get") (type $two)
      local.get 0 local.get 1 (call_indirect (type $two) (i32.const 1)))
    (func (export "fd_write") (type $four)
      local.get 0 local.get 1 local.get 2 local.get 3 (call_indirect (type $four) (i32.const 2)))
    (func (export "environ_get") (type $two) (i32.const 0))
    (func (export "proc_exit") (param i32) unreachable))
  (core instance $s (instantiate $shim))
  (core instance $t (instantiate $stripper (with "wasi_snapshot_preview1" (instance $s))))

  (core module $driver
    (import "s" "table" (table 3 3 funcref))
    (import "t" "memory" (memory 1))
    (import "t" "qjst_alloc" (func $alloc (param i32) (result i32)))
    (import "t" "qjst_transform" (func $transform (param i32 i32 i32 i32 i32) (result i32)))
    (import "t" "qjst_result_ptr" (func $result_ptr (result i32)))
    (import "t" "qjst_result_len" (func $result_len (result i32)))
    (import "t" "qjst_error_ptr" (func $error_ptr (result i32)))
    (import "t" "qjst_error_len" (func $error_len (result i32)))
    (elem (i32.const 0) $random_get $environ_sizes_get $fd_write)
    (func $out_of_memory unreachable)
    (global $words (mut i32) (i32.const 0))

    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (call $room (local.get 3)))
    (func $room (param $size i32) (result i32) (local $at i32)
      (local.set $at (call $alloc (local.get $size)))
      (if (i32.and (i32.eqz (local.get $at)) (i32.ne (local.get $size) (i32.const 0)))
        (then (call $out_of_memory)))
      (local.get $at))

    ;; Flags: the source is TypeScript (1), and its types go (256). Its name is not used.
    (func (export "boot") (param $at i32) (param $size i32) (result i32)
      (local $name i32) (local $status i32) (local $from i32) (local $length i32)
      (global.set $words (i32.and (i32.add (call $room (i32.const 24)) (i32.const 7))
        (i32.const -8)))
      (if (i32.eqz (local.get $size)) (then
        (i64.store (global.get $words) (i64.const 0))
        (return (global.get $words))))
      (local.set $name (call $room (i32.const 7)))
      (i32.store align=1 (local.get $name) (i32.const 0x6e69616d))          ;; "main"
      (i32.store offset=3 align=1 (local.get $name) (i32.const 0x73742e6e)) ;; "n.ts"
      (local.set $status (call $transform (local.get $name) (i32.const 7)
        (local.get $at) (local.get $size) (i32.const 257)))
      (if (local.get $status)
        (then
          (local.set $from (call $error_ptr))
          (local.set $length (call $error_len)))
        (else
          (local.set $from (call $result_ptr))
          (local.set $length (call $result_len))))
      (local.set $at (call $room (i32.add (local.get $length) (i32.const 1))))
      (i32.store8 (local.get $at) (i32.add (i32.const 48)
        (i32.ne (local.get $status) (i32.const 0))))
      (memory.copy (i32.add (local.get $at) (i32.const 1)) (local.get $from) (local.get $length))
      (i32.store (global.get $words) (local.get $at))
      (i32.store offset=4 (global.get $words) (i32.add (local.get $length) (i32.const 1)))
      (global.get $words))

    (func (export "pump") (param i32 i32) (result i32) unreachable)

    ;; Nothing here depends on randomness.
    (func $random_get (param $at i32) (param $size i32) (result i32)
      (memory.fill (local.get $at) (i32.const 7) (local.get $size))
      (i32.const 0))
    (func $environ_sizes_get (param $count i32) (param $size i32) (result i32)
      (i32.store (local.get $count) (i32.const 0))
      (i32.store (local.get $size) (i32.const 0))
      (i32.const 0))
    (func $fd_write (param $file i32) (param $parts i32) (param $count i32) (param $size i32)
        (result i32)
      (if (i32.eq (i32.load align=1 (i32.load (local.get $parts))) (i32.const 0x6f6d656d))
        (then (call $out_of_memory)))
      (i32.const 8)))

  (core instance $d (instantiate $driver (with "s" (instance $s)) (with "t" (instance $t))))
  (alias core export $t "memory" (core memory $memory))
  (alias core export $d "realloc" (core func $realloc))
  (func (export "boot") (param "source" string) (result string)
    (canon lift (core func $d "boot") (memory $memory) (realloc $realloc)))
  (func (export "pump") (param "unused" string) (result string)
    (canon lift (core func $d "pump") (memory $memory) (realloc $realloc))))
