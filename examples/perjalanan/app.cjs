// The trip planner with Node.js: node app.cjs GATEWAY METADATA-AS-JSON REGIONS AIRPORTS LIMIT
//
// An ordinary gRPC client, as app.py is: @grpc/grpc-js and the contracts. Prints one JSON object.

const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [gateway, common, regions, airports, limit] = process.argv.slice(2);
const TIMEOUT_MS = 30_000;

const definition = loader.loadSync(['wisata/v1/wisata.proto', 'bandara/v1/bandara.proto'], {
  includeDirs: [path.join(__dirname, '..', 'protos')], keepCase: true, defaults: true,
});
const packages = grpc.loadPackageDefinition(definition);
const insecure = grpc.credentials.createInsecure();
const wisata = new packages.wisata.v1.Wisata(gateway, insecure);
const bandara = new packages.bandara.v1.Bandara(gateway, insecure);

const options = () => ({ deadline: Date.now() + TIMEOUT_MS });

function metadata(...more) {
  const made = new grpc.Metadata();
  for (const [key, value] of [...JSON.parse(common), ...more]) made.add(key, value);
  return made;
}

function trip(island) {
  return new Promise((resolve, reject) => {
    bandara.Nearest(
      { position: island.position }, metadata(['simpul-to', airports]), options(),
      (error, answer) => {
        if (error) return reject(error);
        const { airport, distance_km } = answer.airports[0];
        return resolve({ island: island.name, iata: airport.iata, distance_km });
      },
    );
  });
}

const islands = wisata.List(
  { populated_only: true, limit: Number(limit) }, metadata(['simpul-region', regions]), options(),
);
const trips = [];
islands.on('data', (answer) => { trips.push(trip(answer.island)); });
islands.on('error', () => {});
islands.on('status', async (status) => {
  const said = status.metadata.getMap();
  const found = (await Promise.all(trips)).sort((a, b) => (a.island < b.island ? -1 : 1));
  process.stdout.write(JSON.stringify({
    status: status.code,
    error: said['simpul-error'] ?? '',
    gather_id: said['simpul-gather-id'] ?? '',
    answered: Number(said['simpul-gather-answered'] ?? 0),
    missing: Number(said['simpul-gather-missing'] ?? 0),
    trips: found,
  }));
  wisata.close();
  bandara.close();
});
