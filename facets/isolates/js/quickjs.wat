;; QuickJS behind the boundary of an isolate: a component with the world of `isolate.wit`.
;;
;; Placeholders in this text are filled in by `component.py`; the empty module is replaced by the
;; one that the wheel ships. It imports functions that need its own memory, so those go through a
;; table: `shim` first, the engine over it, and `driver` over both, which fills the table.
;;
;; What the engine imports, and what becomes of it:
;;
;;     host_call                   one message to the host, by the length of the function's name:
;;                                 1 a storage operation, 2 a line of output, 3 a random number
;;     host_module_normalize/load  asked of the prelude, which has the tool's modules
;;     host_interrupt              never interrupts: the host counts fuel
;;     clock_time_get, random_get  of the host's own clocks and random numbers
;;     environ_*                   empty
;;     fd_*                        fail; the engine writes only to say why it aborts
;;     proc_exit                   ends the isolate
(component
  (core module $quickjs)

  (import "facets:guest/host@1.0.0" (instance $host
    (export "call" (func (param "message" string) (result string)))
    (export "log" (func (param "stream" u32) (param "text" string)))))
  (import "wasi:clocks/wall-clock@0.2.0" (instance $wall
    (type $time (record (field "seconds" u64) (field "nanoseconds" u32)))
    (export "datetime" (type $datetime (eq $time)))
    (export "now" (func (result $datetime)))))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $monotonic
    (export "now" (func (result u64)))))
  (import "wasi:random/random@0.2.0" (instance $random
    (export "get-random-u64" (func (result u64)))))

  (core module $shim
    (type $two (func (param i32 i32) (result i32)))
    (type $three (func (param i32 i32 i32) (result i32)))
    (type $four (func (param i32 i32 i32 i32) (result i32)))
    (type $five (func (param i32 i32 i32 i32 i32) (result i32)))
    (type $clock (func (param i32 i64 i32) (result i32)))
    (table (export "table") 7 7 funcref)
    (func (export "host_call") (type $five)
      local.get 0 local.get 1 local.get 2 local.get 3 local.get 4
      (call_indirect (type $five) (i32.const 0)))
    (func (export "host_module_normalize") (type $five)
      local.get 0 local.get 1 local.get 2 local.get 3 local.get 4
      (call_indirect (type $five) (i32.const 1)))
    (func (export "host_module_load") (type $three)
      local.get 0 local.get 1 local.get 2
      (call_indirect (type $three) (i32.const 2)))
    (func (export "clock_time_get") (type $clock)
      local.get 0 local.get 1 local.get 2
      (call_indirect (type $clock) (i32.const 3)))
    (func (export "random_get") (type $two)
      local.get 0 local.get 1
      (call_indirect (type $two) (i32.const 4)))
    (func (export "environ_sizes_get") (type $two)
      local.get 0 local.get 1
      (call_indirect (type $two) (i32.const 5)))
    (func (export "fd_write") (type $four)
      local.get 0 local.get 1 local.get 2 local.get 3
      (call_indirect (type $four) (i32.const 6)))
    (func (export "host_interrupt") (result i32) (i32.const 0))
    (func (export "environ_get") (type $two) (i32.const 0))
    (func (export "fd_close") (param i32) (result i32) (i32.const 8))
    (func (export "fd_fdstat_get") (type $two) (i32.const 8))
    (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 8))
    (func (export "proc_exit") (param i32) unreachable))

  (core instance $s (instantiate $shim))
  (core instance $q (instantiate $quickjs
    (with "env" (instance $s))
    (with "wasi_snapshot_preview1" (instance $s))))

  (core module $allocator
    (import "q" "qjs_alloc" (func $alloc (param i32) (result i32)))
    (func $out_of_memory unreachable)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (call $alloc (local.get 3)))
      (if (i32.and (i32.eqz (local.get $at)) (i32.ne (local.get 3) (i32.const 0)))
        (then (call $out_of_memory)))
      (local.get $at)))
  (core instance $a (instantiate $allocator (with "q" (instance $q))))

  (alias core export $q "memory" (core memory $memory))
  (alias core export $a "realloc" (core func $realloc))
  (core func $call (canon lower (func $host "call") (memory $memory) (realloc $realloc)))
  (core func $log (canon lower (func $host "log") (memory $memory)))
  (core func $wall_now (canon lower (func $wall "now") (memory $memory)))
  (core func $monotonic_now (canon lower (func $monotonic "now")))
  (core func $random_u64 (canon lower (func $random "get-random-u64")))
  (core instance $h
    (export "call" (func $call)) (export "log" (func $log)) (export "wall" (func $wall_now))
    (export "monotonic" (func $monotonic_now)) (export "random" (func $random_u64)))

  (core module $driver
    (import "s" "table" (table 7 7 funcref))
    (import "q" "memory" (memory 1))
    (import "q" "qjs_alloc" (func $alloc (param i32) (result i32)))
    (import "q" "qjs_free" (func $free (param i32 i32)))
    (import "q" "qjs_last_ptr" (func $last_ptr (result i32)))
    (import "q" "qjs_last_len" (func $last_len (result i32)))
    (import "q" "qjs_result_free" (func $result_free))
    (import "q" "run_gc" (func $collect))
    (import "q" "eval_code" (func $eval (param i32 i32 i32) (result i32)))
    (import "q" "call_function" (func $call_function (param i32 i32 i32 i32 i32) (result i32)))
    (import "q" "execute_pending_jobs" (func $jobs (result i32)))
    (import "q" "get_string" (func $get_string (param i32) (result i32)))
    (import "q" "get_index" (func $get_index (param i32 i32 i32) (result i32)))
    (import "q" "free_value" (func $free_value (param i32)))
    (import "q" "last_exception" (func $last_exception (param i32) (result i32)))
    (import "q" "new_string" (func $new_string (param i32 i32) (result i32)))
    (import "q" "new_number" (func $new_number (param i64) (result i32)))
    (import "q" "new_undefined" (func $new_undefined (result i32)))
    (import "q" "new_function" (func $new_function (param i32 i32) (result i32)))
    (import "h" "call" (func $call (param i32 i32 i32)))
    (import "h" "log" (func $log (param i32 i32 i32)))
    (import "h" "wall" (func $wall (param i32)))
    (import "h" "monotonic" (func $monotonic (result i64)))
    (import "h" "random" (func $random (result i64)))

    (elem (i32.const 0) $host_call $normalize $load $clock_time_get $random_get
      $environ_sizes_get $fd_write)
    (data $prelude "@PRELUDE@")
    (data $panic "[[\"panic\",\"MemoryError\",\"\"]]")

    ;; Handles of the prelude's functions, and where this module keeps its words:
    ;;     0 out   4 argument   8 what an export returns   16 what `call` returns
    ;;     24 out, 28 arguments of a question to the prelude   36 a moment
    (global $words (mut i32) (i32.const @WORDS@))
    (global $undefined (mut i32) (i32.const @UNDEFINED@))
    (global $boot (mut i32) (i32.const @BOOT@))
    (global $pump (mut i32) (i32.const @PUMP@))
    (global $next (mut i32) (i32.const @NEXT@))
    (global $again (mut i32) (i32.const @AGAIN@))
    (global $resolve (mut i32) (i32.const @RESOLVE@))
    (global $source (mut i32) (i32.const @SOURCE@))
    (global $rehearse (mut i32) (i32.const @REHEARSE@))

    (func $out_of_memory unreachable)
    (func $prelude_failed unreachable)

    ;; -- once, before the snapshot -----------------------------------------------------------

    (func $init (export "init") (local $text i32) (local $made i32)
      (global.set $words (i32.and
        (i32.add (call $alloc (i32.const 64)) (i32.const 7)) (i32.const -8)))
      (local.set $text (call $alloc (i32.const @SIZE@)))
      (memory.init $prelude (local.get $text) (i32.const 0) (i32.const @SIZE@))
      (if (call $eval (local.get $text) (i32.const @SIZE@) (global.get $words))
        (then (call $prelude_failed)))
      (global.set $undefined (call $new_undefined))
      (local.set $made (i32.load (global.get $words)))
      ;; Only the length of a function's name counts; the first three bytes serve as names.
      (i32.store offset=28 (global.get $words)
        (call $new_function (local.get $text) (i32.const 1)))
      (i32.store offset=32 (global.get $words)
        (call $new_function (local.get $text) (i32.const 2)))
      (i32.store offset=36 (global.get $words)
        (call $new_function (local.get $text) (i32.const 3)))
      (if (call $call_function (local.get $made) (global.get $undefined)
            (i32.add (global.get $words) (i32.const 28)) (i32.const 3) (global.get $words))
        (then (call $prelude_failed)))
      (local.set $made (i32.load (global.get $words)))
      (drop (call $jobs))
      (global.set $boot (call $item (local.get $made) (i32.const 0)))
      (global.set $pump (call $item (local.get $made) (i32.const 1)))
      (global.set $next (call $item (local.get $made) (i32.const 2)))
      (global.set $again (call $item (local.get $made) (i32.const 3)))
      (global.set $resolve (call $item (local.get $made) (i32.const 4)))
      (global.set $source (call $item (local.get $made) (i32.const 5)))
      (global.set $rehearse (call $item (local.get $made) (i32.const 7)))
      (call $run (call $item (local.get $made) (i32.const 6)) (global.get $undefined))
      (call $free (local.get $text) (i32.const @SIZE@))
      ;; Or the first collection would come in the middle of a load, and touch every page.
      (call $collect))

    (func $item (param $list i32) (param $index i32) (result i32)
      (if (call $get_index (local.get $list) (local.get $index) (global.get $words))
        (then (call $prelude_failed)))
      (i32.load (global.get $words)))

    (func (export "word") (param $index i32) (result i32)
      (if (i32.eq (local.get $index) (i32.const 0)) (then (return (global.get $words))))
      (if (i32.eq (local.get $index) (i32.const 1)) (then (return (global.get $undefined))))
      (if (i32.eq (local.get $index) (i32.const 2)) (then (return (global.get $boot))))
      (if (i32.eq (local.get $index) (i32.const 3)) (then (return (global.get $pump))))
      (if (i32.eq (local.get $index) (i32.const 4)) (then (return (global.get $next))))
      (if (i32.eq (local.get $index) (i32.const 5)) (then (return (global.get $again))))
      (if (i32.eq (local.get $index) (i32.const 6)) (then (return (global.get $resolve))))
      (if (i32.eq (local.get $index) (i32.const 7)) (then (return (global.get $source))))
      (global.get $rehearse))

    ;; -- the exports ---------------------------------------------------------------------------

    (func (export "boot") (param $at i32) (param $size i32) (result i32)
      (call $enter (global.get $boot) (local.get $at) (local.get $size)))

    (func (export "pump") (param $at i32) (param $size i32) (result i32)
      (call $enter (global.get $pump) (local.get $at) (local.get $size)))

    (func (export "release") (param i32) (call $result_free))

    ;; Call a function of the prelude with a text, then let it say what there is to say. An empty
    ;; text asks for a rehearsal, of which there is nothing to say.
    (func $enter (param $function i32) (param $at i32) (param $size i32) (result i32)
      (local $text i32)
      (call $result_free)
      (if (local.get $size)
        (then
          (local.set $text (call $new_string (local.get $at) (local.get $size)))
          (call $free (local.get $at) (local.get $size))
          (if (i32.eqz (local.get $text))
            (then (call $out_of_memory)))
          (call $run (local.get $function) (local.get $text))
          (call $free_value (local.get $text)))
        (else
          (call $run (global.get $rehearse) (global.get $undefined))
          (call $result_free)))
      (i32.store offset=8 (global.get $words) (call $last_ptr))
      (i32.store offset=12 (global.get $words) (call $last_len))
      (i32.add (global.get $words) (i32.const 8)))

    ;; Call it, run every job, ask what is next; so on until the answer is a text. One turn of
    ;; the prelude, with all the jobs that follow from it, is one step.
    (func $run (param $function i32) (param $text i32) (local $argc i32) (local $count i32)
        (local $status i32)
      (local.set $argc (i32.const 1))
      (loop $turn
        (i32.store offset=4 (global.get $words) (local.get $text))
        (if (call $call_function (local.get $function) (global.get $undefined)
              (i32.add (global.get $words) (i32.const 4)) (local.get $argc) (global.get $words))
          (then (call $panic) (return)))
        (local.set $status (call $get_string (i32.load (global.get $words))))
        (call $free_value (i32.load (global.get $words)))
        (if (i32.eqz (local.get $status)) (then (return)))
        (if (i32.eq (local.get $status) (i32.const 1)) ;; a text, but no memory for it
          (then (call $panic) (return)))
        (local.set $count (call $jobs))
        (local.set $argc (i32.const 0))
        (local.set $function (global.get $next))
        (if (i32.ge_u (local.get $count) (i32.const 100000))
          (then (local.set $function (global.get $again))))
        (br $turn)))

    ;; The prelude lets nothing escape while there is memory to catch it with.
    (func $panic (local $at i32) (local $text i32)
      (drop (call $last_exception (global.get $words)))
      (local.set $at (call $alloc (i32.const 28)))
      (if (i32.eqz (local.get $at)) (then (call $out_of_memory)))
      (memory.init $panic (local.get $at) (i32.const 0) (i32.const 28))
      (local.set $text (call $new_string (local.get $at) (i32.const 28)))
      (if (i32.eqz (local.get $text)) (then (call $out_of_memory)))
      (if (call $get_string (local.get $text)) (then (call $out_of_memory))))

    ;; -- what the engine imports ------------------------------------------------------------------

    (func $host_call (param $name i32) (param $length i32) (param $this i32)
        (param $argc i32) (param $argv i32) (result i32)
      (local $at i32) (local $size i32) (local $answer i32)
      (if (i32.eq (local.get $length) (i32.const 3))
        (then (return (call $new_number (i64.reinterpret_f64 (f64.mul
          (f64.convert_i64_u (i64.shr_u (call $random) (i64.const 11)))
          (f64.const 0x1p-53)))))))
      (if (call $get_string (local.get $this)) (then (return (i32.const -1))))
      (local.set $at (call $last_ptr))
      (local.set $size (call $last_len))
      (if (i32.eq (local.get $length) (i32.const 2))
        (then
          (call $log
            (i32.sub (i32.load8_u (local.get $at)) (i32.const 48))
            (i32.add (local.get $at) (i32.const 1))
            (i32.sub (local.get $size) (i32.const 1)))
          (call $result_free)
          (return (call $new_undefined))))
      (call $call (local.get $at) (local.get $size)
        (i32.add (global.get $words) (i32.const 16)))
      (call $result_free)
      (local.set $at (i32.load offset=16 (global.get $words)))
      (local.set $size (i32.load offset=20 (global.get $words)))
      (local.set $answer (call $new_string (local.get $at) (local.get $size)))
      (call $free (local.get $at) (local.get $size))
      (if (i32.eqz (local.get $answer)) (then (call $out_of_memory)))
      (local.get $answer))

    (func $normalize (param $base i32) (param $base_size i32) (param $name i32)
        (param $name_size i32) (param $length i32) (result i32)
      (local $one i32) (local $two i32)
      (local.set $one (call $new_string (local.get $base) (local.get $base_size)))
      (local.set $two (call $new_string (local.get $name) (local.get $name_size)))
      (if (i32.or (i32.eqz (local.get $one)) (i32.eqz (local.get $two)))
        (then (return (i32.const 0))))
      (i32.store offset=28 (global.get $words) (local.get $one))
      (i32.store offset=32 (global.get $words) (local.get $two))
      (call $ask (global.get $resolve) (i32.const 2) (local.get $length))
      (call $free_value (local.get $one))
      (call $free_value (local.get $two)))

    (func $load (param $name i32) (param $size i32) (param $length i32) (result i32)
      (local $one i32)
      (local.set $one (call $new_string (local.get $name) (local.get $size)))
      (if (i32.eqz (local.get $one)) (then (return (i32.const 0))))
      (i32.store offset=28 (global.get $words) (local.get $one))
      (call $ask (global.get $source) (i32.const 1) (local.get $length))
      (call $free_value (local.get $one)))

    ;; What the prelude answers to the arguments at 28, as a buffer of the engine's; 0 if it has
    ;; no text for an answer.
    (func $ask (param $function i32) (param $argc i32) (param $length i32) (result i32)
      (local $made i32) (local $size i32)
      (if (call $call_function (local.get $function) (global.get $undefined)
            (i32.add (global.get $words) (i32.const 28)) (local.get $argc)
            (i32.add (global.get $words) (i32.const 24)))
        (then
          (if (i32.eqz (call $last_exception (i32.add (global.get $words) (i32.const 24))))
            (then (call $free_value (i32.load offset=24 (global.get $words)))))
          (return (i32.const 0))))
      (if (i32.eqz (call $get_string (i32.load offset=24 (global.get $words))))
        (then
          (local.set $size (call $last_len))
          (local.set $made (call $alloc (local.get $size)))
          (if (local.get $made)
            (then
              (memory.copy (local.get $made) (call $last_ptr) (local.get $size))
              (i32.store (local.get $length) (local.get $size))))
          (call $result_free)))
      (call $free_value (i32.load offset=24 (global.get $words)))
      (local.get $made))

    (func (export "pages") (result i32) (memory.size))

    (func $clock_time_get (param $clock i32) (param $precision i64) (param $at i32) (result i32)
      (if (local.get $clock)
        (then (i64.store (local.get $at) (call $monotonic)))
        (else
          (call $wall (i32.add (global.get $words) (i32.const 40)))
          (i64.store (local.get $at) (i64.add
            (i64.mul (i64.load offset=40 (global.get $words)) (i64.const 1000000000))
            (i64.load32_u offset=48 (global.get $words))))))
      (i32.const 0))

    (func $random_get (param $at i32) (param $size i32) (result i32)
      (loop $more
        (if (i32.ge_u (local.get $size) (i32.const 8))
          (then
            (i64.store (local.get $at) (call $random))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (local.set $size (i32.sub (local.get $size) (i32.const 8)))
            (br $more)))
        (if (local.get $size)
          (then
            (i32.store8 (local.get $at) (i32.wrap_i64 (call $random)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (local.set $size (i32.sub (local.get $size) (i32.const 1)))
            (br $more))))
      (i32.const 0))

    (func $environ_sizes_get (param $count i32) (param $size i32) (result i32)
      (i32.store (local.get $count) (i32.const 0))
      (i32.store (local.get $size) (i32.const 0))
      (i32.const 0))

    ;; "memory allocation of 8 bytes failed" is the last thing the engine says.
    (func $fd_write (param $file i32) (param $parts i32) (param $count i32) (param $size i32)
        (result i32)
      (if (i32.eq (i32.load align=1 (i32.load (local.get $parts))) (i32.const 0x6f6d656d))
        (then (call $out_of_memory)))
      (i32.const 8)))

  (core instance $d (instantiate $driver
    (with "s" (instance $s)) (with "q" (instance $q)) (with "h" (instance $h))))
  (alias core export $d "release" (core func $release))

  (func (export "boot") (param "message" string) (result string)
    (canon lift (core func $d "boot") (memory $memory) (realloc $realloc)
      (post-return $release)))
  (func (export "memory") (result u32) (canon lift (core func $d "pages")))
  (func (export "pump") (param "inbox" string) (result string)
    (canon lift (core func $d "pump") (memory $memory) (realloc $realloc)
      (post-return $release)))
)
