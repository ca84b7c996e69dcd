"""Times variants of the matrix kernels on one adapter: python3 tiles.py [--quick]. Needs numpy and wgpu only."""
import json, os, sys, time
import numpy as np
import wgpu

QUICK = '--quick' in sys.argv


def pick():
    adapters = wgpu.gpu.enumerate_adapters_sync()
    for a in adapters:
        print('adapter', dict(a.info))
    real = [a for a in adapters if a.info['backend_type'] == 'Vulkan']
    real.sort(key=lambda a: a.info['adapter_type'] == 'CPU')
    a = real[0]
    want = [f for f in ['timestamp-query', 'shader-f16', 'subgroup', 'subgroup-barrier', 'timestamp-query-inside-passes', 'timestamp-query-inside-encoders'] if f in a.features]
    lim = a.limits
    req = {k: lim[k] for k in ['max-compute-workgroup-storage-size', 'max-storage-buffer-binding-size', 'max-buffer-size', 'max-compute-invocations-per-workgroup']}
    print('features', sorted(a.features))
    print('limits', {k: v for k, v in lim.items() if 'compute' in k or 'storage' in k or 'size' in k})
    return a, a.request_device_sync(required_features=want, required_limits=req)


ADAPTER, DEV = pick()
F16 = 'shader-f16' in DEV.features
TS = 'timestamp-query' in DEV.features


def buf(array):
    return DEV.create_buffer_with_data(data=np.ascontiguousarray(array), usage='STORAGE|COPY_SRC|COPY_DST')


def empty(size):
    return DEV.create_buffer(size=size, usage='STORAGE|COPY_SRC|COPY_DST')


PIPES = {}


def time_dispatches(source, groups, bindings_list, words, runs=6, repeat=1):
    """Seconds of one dispatch: best of `runs`, each with `repeat` dispatches that rotate through bindings_list; and the first result."""
    t = time.perf_counter()
    if source not in PIPES:
        module = DEV.create_shader_module(code=source)
        PIPES[source] = DEV.create_compute_pipeline(layout='auto', compute={'module': module, 'entry_point': 'main'})
    pipe = PIPES[source]
    compiled = time.perf_counter() - t
    uni = DEV.create_buffer_with_data(data=np.array(words, np.uint32), usage='UNIFORM')
    layout = pipe.get_bind_group_layout(0)
    groups_list = [DEV.create_bind_group(layout=layout, entries=[
        {'binding': i, 'resource': {'buffer': b, 'offset': 0, 'size': b.size}} for i, b in enumerate([uni] + bs)]) for bs in bindings_list]
    qs = DEV.create_query_set(type='timestamp', count=2) if TS else None
    res = DEV.create_buffer(size=256, usage='QUERY_RESOLVE|COPY_SRC') if TS else None
    best_gpu, best_wall = 1e9, 1e9
    for r in range(runs + 1):
        enc = DEV.create_command_encoder()
        p = enc.begin_compute_pass(timestamp_writes={'query_set': qs, 'beginning_of_pass_write_index': 0, 'end_of_pass_write_index': 1}) if TS else enc.begin_compute_pass()
        p.set_pipeline(pipe)
        for i in range(repeat):
            p.set_bind_group(0, groups_list[i % len(groups_list)])
            p.dispatch_workgroups(*groups)
        p.end()
        if TS:
            enc.resolve_query_set(qs, 0, 2, res, 0)
        cb = enc.finish()
        t = time.perf_counter()
        DEV.queue.submit([cb])
        stamps = DEV.queue.read_buffer(res, 0, 16) if TS else DEV.queue.read_buffer(bindings_list[0][-1], 0, 4)
        wall = time.perf_counter() - t
        if r:
            best_wall = min(best_wall, wall / repeat)
            if TS:
                a = np.frombuffer(stamps, np.uint64)
                best_gpu = min(best_gpu, float(a[1] - a[0]) * 1e-9 / repeat)
    return (best_gpu if TS and best_gpu > 0 else best_wall), best_wall, compiled


# ---- tiled matmul -------------------------------------------------------------------------------------------------

def tiled(TM, TN4, WX, WY, BK, unroll=True, checks=True, prefetch=False, swapped=False, T='f32', half_threads=False):
    """WX x WY threads, each TM rows (stride WY) x TN4 vec4 columns (stride WX)."""
    BM, BN4, BK4, NT = TM * WY, TN4 * WX, BK // 4, WX * WY
    head = f'''{'enable f16;' if T == 'f16' else ''}
struct Params {{ m: u32, n: u32, k: u32, pad: u32 }}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> A: array<vec4<{T}>>;
@group(0) @binding(2) var<storage, read> B: array<vec4<{T}>>;
@group(0) @binding(3) var<storage, read_write> C: array<vec4<{T}>>;
var<workgroup> As: array<vec4f, {BM * BK4}>;
var<workgroup> Bs: array<vec4f, {BK * BN4}>;
fn load_a(m: u32, k4: u32) -> vec4f {{
  {'if (m >= p.m || k4 >= p.k / 4) { return vec4f(); }' if checks else ''}
  return vec4f(A[m * (p.k / 4) + k4]);
}}
fn load_b(k: u32, n4: u32) -> vec4f {{
  {'if (k >= p.k || n4 >= p.n / 4) { return vec4f(); }' if checks else ''}
  return vec4f(B[k * (p.n / 4) + n4]);
}}
fn store(m: u32, n4: u32, v: vec4f) {{
  {'if (m >= p.m || n4 >= p.n / 4) { return; }' if checks else ''}
  C[m * (p.n / 4) + n4] = vec4<{T}>(v);
}}
@compute @workgroup_size({WX}, {WY})
fn main(@builtin(workgroup_id) g: vec3u, @builtin(local_invocation_index) t: u32, @builtin(local_invocation_id) l: vec3u) {{
  let tx = l.x; let ty = l.y;
  let m0 = g.y * {BM}; let n0 = g.x * {BN4};
'''
    na, nb = BM * BK4 // NT, BK * BN4 // NT
    assert na * NT == BM * BK4 and nb * NT == BK * BN4, (BM, BK4, BN4, NT)
    s = head
    if unroll:
        accs = [(i, j) for i in range(TM) for j in range(TN4)]
        s += ''.join(f'  var c{i}_{j} = vec4f();\n' for i, j in accs)
        idx_a = lambda q: f'(t + {q * NT}u)'
        def loads(k0):
            o = ''
            for q in range(na):
                o += f'    let ra{q} = load_a(m0 + {idx_a(q)} / {BK4}, ({k0}) / 4 + {idx_a(q)} % {BK4});\n'
            for q in range(nb):
                o += f'    let rb{q} = load_b({k0} + {idx_a(q)} / {BN4}, n0 + {idx_a(q)} % {BN4});\n'
            return o
        def stores(pre='r'):
            return ''.join(f'    As[{idx_a(q)}] = {pre}a{q};\n' for q in range(na)) + ''.join(f'    Bs[{idx_a(q)}] = {pre}b{q};\n' for q in range(nb))
        def inner():
            o = ''
            for k4 in range(BK4):
                o += '    {\n'
                for i in range(TM):
                    o += f'    let a{i} = As[(ty + {i * WY}u) * {BK4} + {k4}];\n'
                for kk in range(4):
                    for j in range(TN4):
                        o += f'    let b{kk}_{j} = Bs[{(k4 * 4 + kk) * BN4 + j * WX} + tx];\n'
                    for i in range(TM):
                        for j in range(TN4):
                            o += f'    c{i}_{j} = fma(vec4f(a{i}.{"xyzw"[kk]}), b{kk}_{j}, c{i}_{j});\n'
                o += '    }\n'
            return o
        if prefetch:
            s += ''.join(f'  var pa{q} = load_a(m0 + {idx_a(q)} / {BK4}, {idx_a(q)} % {BK4});\n' for q in range(na))
            s += ''.join(f'  var pb{q} = load_b({idx_a(q)} / {BN4}, n0 + {idx_a(q)} % {BN4});\n' for q in range(nb))
            s += f'  for (var k0 = 0u; k0 < p.k; k0 += {BK}u) {{\n' + stores('p') + '    workgroupBarrier();\n'
            s += ''.join(f'    pa{q} = load_a(m0 + {idx_a(q)} / {BK4}, (k0 + {BK}u) / 4 + {idx_a(q)} % {BK4});\n' for q in range(na))
            s += ''.join(f'    pb{q} = load_b(k0 + {BK}u + {idx_a(q)} / {BN4}, n0 + {idx_a(q)} % {BN4});\n' for q in range(nb))
            s += inner() + '    workgroupBarrier();\n  }\n'
        else:
            s += f'  for (var k0 = 0u; k0 < p.k; k0 += {BK}u) {{\n' + loads('k0') + stores() + '    workgroupBarrier();\n' + inner() + '    workgroupBarrier();\n  }\n'
        s += ''.join(f'  store(m0 + ty + {i * WY}u, n0 + tx + {j * WX}u, c{i}_{j});\n' for i, j in accs)
    else:
        s += f'''  var c: array<vec4f, {TM * TN4}>;
  for (var k0 = 0u; k0 < p.k; k0 += {BK}u) {{
    for (var q = 0u; q < {na}u; q++) {{ let i = t + q * {NT}u; As[i] = load_a(m0 + i / {BK4}u, k0 / 4 + i % {BK4}u); }}
    for (var q = 0u; q < {nb}u; q++) {{ let i = t + q * {NT}u; Bs[i] = load_b(k0 + i / {BN4}u, n0 + i % {BN4}u); }}
    workgroupBarrier();
    for (var k4 = 0u; k4 < {BK4}u; k4++) {{
      var a: array<vec4f, {TM}>;
      for (var i = 0u; i < {TM}u; i++) {{ a[i] = As[(ty + i * {WY}u) * {BK4}u + k4]; }}
      for (var j = 0u; j < {TN4}u; j++) {{
        let at = k4 * {4 * BN4}u + j * {WX}u + tx;
        let b0 = Bs[at]; let b1 = Bs[at + {BN4}u]; let b2 = Bs[at + {2 * BN4}u]; let b3 = Bs[at + {3 * BN4}u];
        for (var i = 0u; i < {TM}u; i++) {{
          let ai = a[i];
          c[i * {TN4}u + j] = fma(vec4f(ai.w), b3, fma(vec4f(ai.z), b2, fma(vec4f(ai.y), b1, fma(vec4f(ai.x), b0, c[i * {TN4}u + j]))));
        }}
      }}
    }}
    workgroupBarrier();
  }}
  for (var i = 0u; i < {TM}u; i++) {{ for (var j = 0u; j < {TN4}u; j++) {{ store(m0 + ty + i * {WY}u, n0 + tx + j * {WX}u, c[i * {TN4}u + j]); }} }}
'''
    return s + '}\n', BM, BN4 * 4


def direct(TM, TN, WX, WY, KS, scalar=False, un=1):
    """No shared tiles: each thread TM rows x TN columns (vec4 columns unless scalar); KS slices of K are added at the end."""
    V = 1 if scalar else 4
    BM, BN = TM * WY, TN * WX
    ty = 'f32' if scalar else 'vec4f'
    s = f'''
struct Params {{ m: u32, n: u32, k: u32, pad: u32 }}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> A: array<vec4f>;
@group(0) @binding(2) var<storage, read> B: array<{ty}>;
@group(0) @binding(3) var<storage, read_write> C: array<{ty}>;
{f'var<workgroup> S: array<{ty}, {KS * WX * WY * TM * TN}>;' if KS > 1 else ''}
@compute @workgroup_size({WX}, {WY}, {KS})
fn main(@builtin(workgroup_id) g: vec3u, @builtin(local_invocation_id) l: vec3u) {{
  let width = p.n / {V}u; let kw = p.k / 4;
  let m0 = g.y * {BM}u + l.y * {TM}u; let n0 = g.x * {BN}u + l.x;
'''
    s += ''.join(f'  let ra{i} = min(m0 + {i}u, p.m - 1) * kw;\n' for i in range(TM))
    s += ''.join(f'  let cb{j} = min(n0 + {j * WX}u, width - 1);\n' for j in range(TN))
    s += ''.join(f'  var c{i}_{j} = {ty}();\n' for i in range(TM) for j in range(TN))
    s += f'  for (var k = l.z; k < kw; k += {KS}u) {{\n    let kb = k * 4 * width;\n'
    for kk in range(4):
        for j in range(TN):
            s += f'    let b{kk}_{j} = B[kb + {kk} * width + cb{j}];\n'
    for i in range(TM):
        s += f'    let a{i} = A[ra{i} + k];\n'
        for kk in range(4):
            for j in range(TN):
                s += f'    c{i}_{j} = fma({ty}(a{i}.{"xyzw"[kk]}), b{kk}_{j}, c{i}_{j});\n'
    s += '  }\n'
    if KS > 1:
        W = WX * WY
        s += f'  let t = l.y * {WX}u + l.x;\n'
        s += ''.join(f'  S[l.z * {W * TM * TN}u + {(i * TN + j) * W}u + t] = c{i}_{j};\n' for i in range(TM) for j in range(TN))
        s += f'''  workgroupBarrier();
  let all = l.z * {W}u + t;
  for (var o = all; o < {W * TM * TN}u; o += {W * KS}u) {{
    var v = S[o];
    for (var z = 1u; z < {KS}u; z++) {{ v += S[z * {W * TM * TN}u + o]; }}
    let ij = o / {W}u; let tt = o % {W}u;
    let m = g.y * {BM}u + (tt / {WX}u) * {TM}u + ij / {TN}u; let n = g.x * {BN}u + tt % {WX}u + (ij % {TN}u) * {WX}u;
    if (m < p.m && n < width) {{ C[m * width + n] = v; }}
  }}
'''
    else:
        s += ''.join(f'  if (m0 + {i}u < p.m && n0 + {j * WX}u < width) {{ C[(m0 + {i}u) * width + n0 + {j * WX}u] = c{i}_{j}; }}\n' for i in range(TM) for j in range(TN))
    return s + '}\n', BM, BN * V


OUT = []


def note(**kw):
    OUT.append(kw)
    print(json.dumps(kw), flush=True)


def bench_matmul():
    shapes = [(4096, 4096, 4096), (4096, 768, 768), (4096, 3072, 768), (4096, 768, 3072), (512, 768, 768), (128, 768, 768), (128, 3072, 768), (32, 384, 384), (32, 1536, 384), (32, 384, 1536)]
    if QUICK:
        shapes = [(256, 256, 256), (32, 384, 384), (32, 1536, 384), (32, 384, 1536)]
    rng = np.random.default_rng(0)
    configs = [
        ('u128x128x16', dict(TM=8, TN4=2, WX=16, WY=16, BK=16)),
        ('u128x128x16p', dict(TM=8, TN4=2, WX=16, WY=16, BK=16, prefetch=True)),
        ('u128x128x16nc', dict(TM=8, TN4=2, WX=16, WY=16, BK=16, checks=False)),
        ('u128x128x8', dict(TM=8, TN4=2, WX=16, WY=16, BK=8)),
        ('u128x128x8p', dict(TM=8, TN4=2, WX=16, WY=16, BK=8, prefetch=True)),
        ('loop128x128x16', dict(TM=8, TN4=2, WX=16, WY=16, BK=16, unroll=False)),
        ('u128x64x16', dict(TM=8, TN4=1, WX=16, WY=16, BK=16)),
        ('u64x128x16', dict(TM=8, TN4=2, WX=16, WY=8, BK=16)),
        ('u64x128x16p', dict(TM=8, TN4=2, WX=16, WY=8, BK=16, prefetch=True)),
        ('u64x64x16', dict(TM=8, TN4=2, WX=8, WY=8, BK=16)),
        ('u64x64x16_8x1', dict(TM=8, TN4=1, WX=16, WY=8, BK=16)),
        ('u64x64x16_4x1', dict(TM=4, TN4=1, WX=16, WY=16, BK=16)),
        ('u64x64x32_4x1', dict(TM=4, TN4=1, WX=16, WY=16, BK=32)),
        ('u32x32x32_4x1', dict(TM=4, TN4=1, WX=8, WY=8, BK=32)),
        ('u32x32x32_2x1', dict(TM=2, TN4=1, WX=8, WY=16, BK=32)),
        ('u16x32x32_2x1', dict(TM=2, TN4=1, WX=8, WY=8, BK=32)),
        ('loop64x64x16_4x1', dict(TM=4, TN4=1, WX=16, WY=16, BK=16, unroll=False)),
    ] + ([('f16u128x128x16p', dict(TM=8, TN4=2, WX=16, WY=16, BK=16, prefetch=True, T='f16')), ('f16u64x128x16', dict(TM=8, TN4=2, WX=16, WY=8, BK=16, T='f16'))] if F16 else []) + [
        ('u128x256x8', dict(TM=8, TN4=4, WX=16, WY=16, BK=8)),
        ('u256x128x8', dict(TM=16, TN4=2, WX=16, WY=16, BK=8)),
        ('u256x64x16', dict(TM=16, TN4=1, WX=16, WY=16, BK=16)),
        ('u128x64x16_16x1', dict(TM=16, TN4=1, WX=16, WY=8, BK=16)),
        ('u128x128x16_16x1', dict(TM=16, TN4=1, WX=32, WY=8, BK=16)),
    ] + [(f'd{TM}x{TN} {WX}x{WY}x{KS}{"s" if sc else ""}', dict(direct=True, TM=TM, TN=TN, WX=WX, WY=WY, KS=KS, scalar=sc)) for TM, TN, WX, WY, KS, sc in [
        (8, 1, 8, 8, 1, False), (8, 1, 8, 4, 8, False), (4, 1, 8, 4, 8, False), (4, 1, 4, 8, 8, False), (4, 1, 8, 8, 4, False), (8, 1, 16, 4, 4, False), (8, 1, 32, 1, 4, False), (2, 1, 8, 2, 16, False),
        (8, 2, 8, 1, 1, False), (8, 1, 8, 1, 1, False), (16, 1, 8, 1, 1, False),
        (8, 2, 8, 1, 1, True), (8, 4, 8, 1, 1, True), (16, 2, 8, 1, 1, True), (8, 4, 32, 1, 1, True), (8, 4, 8, 4, 1, True), (4, 4, 16, 1, 8, True), (8, 2, 16, 4, 4, True)]]
    tried = os.environ.get('TILES', '')
    for (m, n, k) in shapes:
        a = rng.standard_normal((m, k), np.float32)
        b = rng.standard_normal((k, n), np.float32)
        ba, bb, bc = buf(a), buf(b), empty(4 * m * n)
        rows = np.arange(0, m, max(1, m // 16))
        want = a[rows] @ b
        for name, cfg in configs:
            big = m > 1000 or QUICK
            if not cfg.get('checks', True) and (m % 128 or n % 128):
                continue
            if tried and not any(x in name for x in tried.split(',')):
                continue
            cfg = dict(cfg)
            is_direct = cfg.pop('direct', False)
            if is_direct and m > 2000 and cfg['TM'] * cfg['WY'] < 32:
                continue
            try:
                src, bm, bn = (direct if is_direct else tiled)(**cfg)
            except AssertionError as e:
                note(kind='matmul', variant=name, error='tile ' + str(e))
                continue
            groups = [-(-n // bn), -(-m // bm), 1]
            try:
                half = cfg.get('T') == 'f16'
                bound = [buf(a.astype(np.float16)), buf(b.astype(np.float16)), bc] if half else [ba, bb, bc]
                t, wall, comp = time_dispatches(src, groups, [bound], [m, n, k, 0], runs=5, repeat=4 if big else 50)
                got = np.frombuffer(DEV.queue.read_buffer(bc), np.float16 if half else np.float32)[:m * n].reshape(m, n)[rows].astype(np.float32)
                err = float(np.abs(got - want).max())
                note(kind='matmul', shape=[m, n, k], variant=name, us=round(t * 1e6, 2), wall_us=round(wall * 1e6, 2), tflops=round(2 * m * n * k / t / 1e12, 3), err=err, compile_s=round(comp, 3), groups=groups)
            except Exception as e:
                note(kind='matmul', shape=[m, n, k], variant=name, error=str(e)[:600])
        for x in (ba, bb, bc):
            x.destroy()


# ---- matvec: x [K] times W [K, N] --------------------------------------------------------------------------------

def matvec_kn(T, CX, KY, unroll):
    """CX threads across, each 4 (f32) or 8 (f16, as vec4<u32>) columns; KY slices of K; W [K, N]."""
    per = 4 if T == 'f32' else 8
    s = f'''
struct Params {{ m: u32, n: u32, k: u32, pad: u32 }}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> X: array<f32>;
@group(0) @binding(2) var<storage, read> W: array<vec4<{'f32' if T == 'f32' else 'u32'}>>;
@group(0) @binding(3) var<storage, read_write> Y: array<vec4f>;
var<workgroup> S: array<vec4f, {CX * KY * per // 4}>;
@compute @workgroup_size({CX}, {KY})
fn main(@builtin(workgroup_id) g: vec3u, @builtin(local_invocation_id) l: vec3u) {{
  let width = p.n / {per}u;
  let c = g.x * {CX}u + l.x;
  let at = min(c, width - 1);
  var s0 = vec4f(); {'var s1 = vec4f();' if per == 8 else ''}
  for (var k = l.y; k < p.k; k += {KY * unroll}u) {{
'''
    for u in range(unroll):
        s += f'    let w{u} = W[(k + {u * KY}u) * width + at]; let x{u} = X[k + {u * KY}u];\n'
    for u in range(unroll):
        if per == 4:
            s += f'    s0 = fma(vec4f(x{u}), w{u}, s0);\n'
        else:
            s += f'    s0 = fma(vec4f(x{u}), vec4f(unpack2x16float(w{u}.x), unpack2x16float(w{u}.y)), s0); s1 = fma(vec4f(x{u}), vec4f(unpack2x16float(w{u}.z), unpack2x16float(w{u}.w)), s1);\n'
    s += f'''  }}
  S[l.y * {CX}u + l.x] = s0; {f'S[{CX * KY}u + l.y * {CX}u + l.x] = s1;' if per == 8 else ''}
  for (var h = {KY // 2}u; h > 0; h /= 2) {{
    workgroupBarrier();
    if (l.y < h) {{
      S[l.y * {CX}u + l.x] += S[(l.y + h) * {CX}u + l.x];
      {f'S[{CX * KY}u + l.y * {CX}u + l.x] += S[{CX * KY}u + (l.y + h) * {CX}u + l.x];' if per == 8 else ''}
    }}
  }}
  if (l.y == 0 && c < width) {{
    {'Y[c] = S[l.x];' if per == 4 else f'Y[2 * c] = S[l.x]; Y[2 * c + 1] = S[{CX * KY}u + l.x];'}
  }}
}}
'''
    return s, CX * per


def matvec_q4(R, NT, trick, KS=1):
    """W [N, K/32] blocks of 16 bytes as vec4<u32>, scales f32 [N, K/32]; NT threads along K, R rows a workgroup."""
    s = f'''
struct Params {{ m: u32, n: u32, k: u32, pad: u32 }}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> X: array<vec4f>;
@group(0) @binding(2) var<storage, read> W: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> D: array<f32>;
@group(0) @binding(4) var<storage, read_write> Y: array<f32>;
var<workgroup> S: array<f32, {NT * R}>;
'''
    if trick:
        s += '''
fn word(w: u32, xa: vec4f, xb: vec4f) -> f32 {
  // nibbles i of the low half stand at bit 4 i of the mantissa of 2^23: x comes times 16^-i
  let h = w >> 16;
  let lo = bitcast<vec4f>((vec4u(w) & vec4u(15, 240, 3840, 61440)) | vec4u(0x4b000000u)) - 8388608.0;
  let hi = bitcast<vec4f>((vec4u(h) & vec4u(15, 240, 3840, 61440)) | vec4u(0x4b000000u)) - 8388608.0;
  return dot(lo, xa) + dot(hi, xb);
}
'''
    else:
        s += '''
fn word(w: u32, xa: vec4f, xb: vec4f) -> f32 {
  let lo = vec4f(unpack4xU8(w & 0x0f0f0f0fu)); let hi = vec4f(unpack4xU8((w >> 4) & 0x0f0f0f0fu));
  return dot(lo, xa) + dot(hi, xb);
}
'''
    s += f'''
@compute @workgroup_size({NT})
fn main(@builtin(workgroup_id) g: vec3u, @builtin(local_invocation_index) t: u32) {{
  let blocks = p.k / 32;
  let r0 = g.x * {R}u;
'''
    s += ''.join(f'  var s{r} = 0.0;\n' for r in range(R))
    s += f'  for (var b = t; b < blocks; b += {NT}u) {{\n'
    for i in range(R):
        s += f'    let w{i} = W[(r0 + {i}u) * blocks + b]; let d{i} = D[(r0 + {i}u) * blocks + b];\n'
    for q in range(8):
        s += f'    let v{q} = X[b * 8 + {q}];\n'
    sc = ' * vec4f(1.0, 0.0625, 0.00390625, 0.000244140625)'
    if trick:
        for q in range(8):
            s += f'    let x{q} = v{q}{sc};\n'
    else:
        for q in range(4):
            s += f'    let x{2*q} = vec4f(v{2*q}.xz, v{2*q+1}.xz); let x{2*q+1} = vec4f(v{2*q}.yw, v{2*q+1}.yw);\n'
    s += '    let total = dot(v0 + v1 + v2 + v3 + v4 + v5 + v6 + v7, vec4f(8));\n'
    for i in range(R):
        s += f'    s{i} += d{i} * (word(w{i}.x, x0, x1) + word(w{i}.y, x2, x3) + word(w{i}.z, x4, x5) + word(w{i}.w, x6, x7) - total);\n'
    s += '  }\n'
    for i in range(R):
        s += f'  S[{i * NT}u + t] = s{i};\n'
    s += f'''  for (var h = {NT // 2}u; h > 0; h /= 2) {{
    workgroupBarrier();
    if (t < h) {{ ''' + ''.join(f'S[{i * NT}u + t] += S[{i * NT}u + t + h]; ' for i in range(R)) + f'''}}
  }}
  workgroupBarrier();
  if (t < {R}u) {{ Y[r0 + t] = S[t * {NT}u]; }}
}}
'''
    return s, R


def bench_matvec():
    rng = np.random.default_rng(1)
    n, k = (11008, 4096) if not QUICK else (1024, 512)
    copies = 8 if not QUICK else 2
    for T in ['f32', 'f16']:
        w = rng.standard_normal((k, n), np.float32).astype(np.float32 if T == 'f32' else np.float16)
        x = rng.standard_normal(k, np.float32)
        want = x @ w.astype(np.float32)
        bw = [buf(w.view(np.uint32)) for _ in range(copies)]
        bx, by = buf(x), empty(4 * n)
        for cx, ky, un in [(32, 8, 4), (16, 16, 4), (8, 32, 4), (4, 64, 4), (8, 32, 8), (16, 8, 8), (8, 16, 8), (4, 32, 8), (2, 64, 8)]:
            src, cols = matvec_kn(T, cx, ky, un)
            try:
                t, wall, comp = time_dispatches(src, [-(-n // cols), 1, 1], [[bx, q, by] for q in bw], [1, n, k, 0], runs=5, repeat=copies * 4)
                err = float(np.abs(np.frombuffer(DEV.queue.read_buffer(by), np.float32) - want).max())
                note(kind='matvec_kn', type=T, n=n, k=k, variant=f'{cx}x{ky}u{un}', us=round(t * 1e6, 2), wall_us=round(wall * 1e6, 2), gbs=round(w.nbytes / t / 1e9, 1), err=err)
            except Exception as e:
                note(kind='matvec_kn', type=T, variant=f'{cx}x{ky}u{un}', error=str(e)[:600])
        for q in bw: q.destroy()
    copies = copies * 2
    q = rng.integers(0, 256, (n, k // 32, 16), np.uint8)
    d = rng.random((n, k // 32), np.float32) * 0.1
    deq = (np.stack([q & 15, q >> 4], -1).reshape(n, k // 32, 32).astype(np.float32) - 8) * d[:, :, None]
    want = deq.reshape(n, k) @ x
    bw = [buf(q.view(np.uint32)) for _ in range(copies)]
    bd = [buf(d) for _ in range(copies)]
    for R, NT, trick in [(4, 128, False), (4, 128, True), (8, 128, False), (8, 128, True), (4, 64, True), (8, 64, True), (4, 32, True), (8, 32, True), (4, 32, False), (2, 64, True), (2, 128, True), (16, 64, True)]:
        src, rows = matvec_q4(R, NT, trick)
        try:
            t, wall, comp = time_dispatches(src, [n // rows, 1, 1], [[bx, a, b, by] for a, b in zip(bw, bd)], [1, n, k, 0], runs=5, repeat=copies * 4)
            err = float(np.abs(np.frombuffer(DEV.queue.read_buffer(by), np.float32) - want).max())
            note(kind='matvec_q4', n=n, k=k, variant=f'R{R} NT{NT} {"trick" if trick else "unpack"}', us=round(t * 1e6, 2), wall_us=round(wall * 1e6, 2), gbs=round((q.nbytes + d.nbytes) / t / 1e9, 1), gbs_weights_only=round(q.nbytes / t / 1e9, 1), err=err)
        except Exception as e:
            note(kind='matvec_q4', variant=f'R{R} NT{NT} {trick}', error=str(e)[:600])


def bench_overhead():
    """The least that a dispatch, and one that waits for the last, costs."""
    src = '''@group(0) @binding(0) var<uniform> p: vec4u; @group(0) @binding(1) var<storage, read> X: array<f32>; @group(0) @binding(2) var<storage, read_write> Y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) g: vec3u) { Y[g.x] = X[g.x] + f32(p.x); }'''
    a, b = empty(4096), empty(4096)
    for name, lists in [('independent', [[a, b]]), ('chain', [[a, b], [b, a]])]:
        t, wall, comp = time_dispatches(src, [16, 1, 1], lists, [0, 0, 0, 0], runs=5, repeat=200)
        note(kind='overhead', variant=name, us=round(t * 1e6, 2), wall_us=round(wall * 1e6, 2))


if __name__ == '__main__':
    bench_overhead()
    bench_matvec()
    bench_matmul()
    if os.environ.get('OUT'):
        json.dump({'device': dict(ADAPTER.info), 'rows': OUT}, open(os.path.join(os.environ['OUT'], 'tiles.json'), 'w'), indent=0)
