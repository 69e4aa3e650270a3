// gRPC's interoperability cases with Node.js's client: node client.js TARGET METADATA-AS-JSON
//
// Prints one JSON object: each case's name, and "ok" or why it failed. What this client can't show
// (whether a message came compressed) or can't do (compress one message and not the next) is not here.
//
// Source: github.com/grpc/grpc, doc/interop-test-descriptions.md, "Client".

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const TIMEOUT_MS = 20_000;
const REQUEST_SIZES = [27182, 8, 1828, 45904];
const RESPONSE_SIZES = [31415, 9, 2653, 58979];
const LARGE_REQUEST = 271828;
const LARGE_RESPONSE = 314159;
const MESSAGE = 'test status message';
const SPECIAL = '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n';
const INITIAL = 'x-grpc-test-echo-initial';
const TRAILING = 'x-grpc-test-echo-trailing-bin';

const [target, common] = process.argv.slice(2);
const definition = loader.loadSync('tests/interop/gen/service.proto', {
  includeDirs: [ROOT], keepCase: true, longs: Number, defaults: true,
});
const { TestService, UnimplementedService } = grpc.loadPackageDefinition(definition).grpc.testing;

const insecure = grpc.credentials.createInsecure();
const client = new TestService(target, insecure);
const compressing = new TestService(target, insecure, {
  'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip,
});
const unimplemented = new UnimplementedService(target, insecure);

const zeros = (size) => ({ body: Buffer.alloc(size) });
const parameters = (sizes) => sizes.map((size) => ({ size }));
const output = (request, ...sizes) => (
  { payload: zeros(request), response_parameters: parameters(sizes) });
const simple = (more) => (
  { response_size: LARGE_RESPONSE, payload: zeros(LARGE_REQUEST), ...more });
const options = () => ({ deadline: Date.now() + TIMEOUT_MS });

function metadata(more = []) {
  const made = new grpc.Metadata();
  for (const [key, value] of [...JSON.parse(common), ...more]) made.add(key, value);
  return made;
}

// A unary or client-streaming call: what came of it, whether it failed or not.
function unary(method, request, { of = client, more = [], then } = {}) {
  return new Promise((resolve) => {
    const seen = {};
    const done = (error, response) => { seen.error = error; seen.response = response; };
    const before = request === undefined ? [] : [request];
    const call = of[method](...before, metadata(more), options(), done);
    call.on('metadata', (initial) => { seen.initial = initial; });
    call.on('status', (status) => { seen.status = status; setImmediate(() => resolve(seen)); });
    then?.(call);
  });
}

// A call whose answer streams: the same; `each` is called with every message.
function stream(method, request, { more = [], then, each, limits = options() } = {}) {
  return new Promise((resolve) => {
    const seen = { messages: [] };
    const before = request === undefined ? [] : [request];
    const call = client[method](...before, metadata(more), limits);
    call.on('metadata', (initial) => { seen.initial = initial; });
    call.on('data', (message) => { seen.messages.push(message); each?.(call, seen.messages); });
    call.on('error', (error) => { seen.error = error; });
    call.on('status', (status) => { seen.status = status; setImmediate(() => resolve(seen)); });
    then?.(call);
  });
}

const sizes = (seen) => seen.messages.map((message) => message.payload.body.length);

function ended(seen, code, details) {
  assert.equal(seen.status.code, code, seen.status.details);
  if (details !== undefined) assert.equal(seen.status.details, details);
  return seen;
}

const ok = (seen) => ended(seen, grpc.status.OK);

const cases = {
  async empty_unary() {
    assert.deepEqual(ok(await unary('EmptyCall', {})).response, {});
  },
  async large_unary() {
    const { response } = ok(await unary('UnaryCall', simple()));
    assert.equal(response.payload.body.length, LARGE_RESPONSE);
  },
  async client_compressed_unary() {
    const request = (value) => simple({ expect_compressed: { value } });
    ended(await unary('UnaryCall', request(true)), grpc.status.INVALID_ARGUMENT);
    ok(await unary('UnaryCall', request(true), { of: compressing }));
    ok(await unary('UnaryCall', request(false)));
  },
  async server_compressed_unary() {
    for (const value of [true, false]) {
      const seen = ok(await unary('UnaryCall', simple({ response_compressed: { value } })));
      assert.equal(seen.response.payload.body.length, LARGE_RESPONSE);
    }
  },
  async client_streaming() {
    const { response } = ok(await unary('StreamingInputCall', undefined, {
      then(call) {
        for (const size of REQUEST_SIZES) call.write({ payload: zeros(size) });
        call.end();
      },
    }));
    assert.equal(response.aggregated_payload_size, 74922);
  },
  async server_streaming() {
    const seen = ok(await stream('StreamingOutputCall', output(0, ...RESPONSE_SIZES)));
    assert.deepEqual(sizes(seen), RESPONSE_SIZES);
  },
  async server_compressed_streaming() {
    const request = {
      response_parameters: [
        { size: 31415, compressed: { value: true } },
        { size: 92653, compressed: { value: false } },
      ],
    };
    const seen = ok(await stream('StreamingOutputCall', request));
    assert.deepEqual(sizes(seen), [31415, 92653]);
  },
  async ping_pong() {
    const ping = (call, number) => {
      call.write(output(REQUEST_SIZES[number], RESPONSE_SIZES[number]));
    };
    const seen = ok(await stream('FullDuplexCall', undefined, {
      then: (call) => ping(call, 0),
      each(call, messages) {
        if (messages.length < REQUEST_SIZES.length) ping(call, messages.length);
        else call.end();
      },
    }));
    assert.deepEqual(sizes(seen), RESPONSE_SIZES);
  },
  async empty_stream() {
    const seen = ok(await stream('FullDuplexCall', undefined, { then: (call) => call.end() }));
    assert.deepEqual(seen.messages, []);
  },
  async half_duplex() {
    const seen = ok(await stream('HalfDuplexCall', undefined, {
      then(call) {
        for (const size of RESPONSE_SIZES) call.write(output(0, size));
        call.end();
      },
    }));
    assert.deepEqual(sizes(seen), RESPONSE_SIZES);
  },
  async custom_metadata() {
    const binary = Buffer.from([0xab, 0xab, 0xab]);
    const more = [[INITIAL, 'test_initial_metadata_value'], [TRAILING, binary]];
    const echoed = (seen) => {
      assert.deepEqual(seen.initial.get(INITIAL), ['test_initial_metadata_value']);
      assert.deepEqual(seen.status.metadata.get(TRAILING), [binary]);
    };
    echoed(ok(await unary('UnaryCall', simple(), { more })));
    echoed(ok(await stream('FullDuplexCall', undefined, {
      more,
      then(call) { call.write(output(LARGE_REQUEST, LARGE_RESPONSE)); call.end(); },
    })));
  },
  async status_code_and_message() {
    const request = { response_status: { code: 2, message: MESSAGE } };
    ended(await unary('UnaryCall', request), grpc.status.UNKNOWN, MESSAGE);
    ended(await stream('FullDuplexCall', undefined, {
      then(call) { call.write(request); call.end(); },
    }), grpc.status.UNKNOWN, MESSAGE);
  },
  async special_status_message() {
    const request = { response_status: { code: 2, message: SPECIAL } };
    ended(await unary('UnaryCall', request), grpc.status.UNKNOWN, SPECIAL);
  },
  async unimplemented_method() {
    ended(await unary('UnimplementedCall', {}), grpc.status.UNIMPLEMENTED);
  },
  async unimplemented_service() {
    ended(await unary('UnimplementedCall', {}, { of: unimplemented }), grpc.status.UNIMPLEMENTED);
  },
  async cancel_after_begin() {
    const then = (call) => setImmediate(() => call.cancel());
    ended(await unary('StreamingInputCall', undefined, { then }), grpc.status.CANCELLED);
  },
  async cancel_after_first_response() {
    ended(await stream('FullDuplexCall', undefined, {
      then: (call) => call.write(output(REQUEST_SIZES[0], RESPONSE_SIZES[0])),
      each: (call) => call.cancel(),
    }), grpc.status.CANCELLED);
  },
  async timeout_on_sleeping_server() {
    ended(await stream('FullDuplexCall', undefined, {
      limits: { deadline: Date.now() + 1 },
      then: (call) => call.write(output(REQUEST_SIZES[0])),
    }), grpc.status.DEADLINE_EXCEEDED);
  },
  async concurrent_large_unary() {
    await Promise.all(Array.from({ length: 50 }, () => cases.large_unary()));
  },
};

const results = {};
for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
    results[name] = 'ok';
  } catch (error) {
    results[name] = String(error.message);
  }
}
process.stdout.write(JSON.stringify(results));
process.exit(0);
