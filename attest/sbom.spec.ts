import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeArchive } from '../image/archive';
import { layersOf } from '../image/pushable';
import { componentsOf, findPrograms, licenceOf } from './components';
import { provenance } from './provenance';
import { cycloneDx, spdx } from './sbom';

const folder = mkdtempSync(join(tmpdir(), 'slim-go-sbom-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A program with two modules of somebody else, served from a folder, in an image of ours. */
async function makeImage() {
  const env = { ...process.env, GOFLAGS: '-mod=mod', GOWORK: 'off', CGO_ENABLED: '0', GOOS: 'linux' };
  const write = (file: string, text: string) => {
    mkdirSync(join(folder, file, '..'), { recursive: true });
    writeFileSync(join(folder, file), text);
  };
  write('lib/go.mod', 'module example.com/Acme/lib\n\ngo 1.21\n');
  write('lib/lib.go', 'package lib\n\nconst Text = "hello"\n');
  write(
    'app/go.mod',
    'module example.com/app\n\ngo 1.21\n\nrequire example.com/Acme/lib v1.2.3\n\nreplace example.com/Acme/lib => ../lib\n',
  );
  write('app/main.go', 'package main\n\nimport "example.com/Acme/lib"\n\nfunc main() { println(lib.Text) }\n');
  const program = join(folder, 'program');
  execFileSync('go', ['build', '-o', program, '.'], { cwd: join(folder, 'app'), env });
  const file = join(folder, 'image.tar');
  const platform = { os: 'linux', architecture: 'amd64' };
  const content = (path: string) => ({ path, offsetBytes: 0, sizeBytes: statSync(path).size });
  const common = { type: 'file' as const, mode: 0o755, uid: 0, gid: 0 };
  const record = await writeArchive({
    images: [
      {
        platform,
        config: {},
        history: [{ created_by: 'COPY' }],
        layers: [
          {
            entries: [
              { ...common, path: 'bin/app', content: content(program) },
              { ...common, path: 'bin/no-program', content: Buffer.alloc(100_000, 'x') },
            ],
          },
        ],
      },
    ],
    references: ['hello'],
    file,
    hostPlatform: platform,
    createdSeconds: 0,
  });
  return { programs: findPrograms(layersOf(record.platforms[0]!, file)), program };
}

describe('what is said about an image', () => {
  let made: Awaited<ReturnType<typeof makeImage>>;
  beforeAll(async () => {
    made = await makeImage();
  });

  it('finds the Go programs in the layers, and what they are made of', () => {
    const { programs, program } = made;
    expect(programs.map(({ path, info }) => [path, info.path])).toEqual([['bin/app', 'example.com/app']]);
    const said = execFileSync('go', ['version', '-m', program], { encoding: 'utf8' });
    const names = componentsOf(programs, undefined).map(({ name, version }) => `${name} ${version}`);
    expect(names).toEqual([
      'example.com/Acme/lib (devel)',
      `example.com/app ${/\tmod\t\S+\t(\S+)/.exec(said)![1]}`,
      `stdlib ${/go(\d\S+)/.exec(said)![1]}`,
    ]);
  });

  it('tells licences where the module cache does', () => {
    const cache = join(folder, 'cache');
    mkdirSync(join(cache, 'example.com/!acme/!lib@v1.0.0'), { recursive: true });
    writeFileSync(
      join(cache, 'example.com/!acme/!lib@v1.0.0', 'LICENSE'),
      'Apache License\n   Version 2.0, January 2004\n',
    );
    const [{ info, path }] = made.programs as [(typeof made.programs)[number]];
    const modules = [
      { path: 'example.com/Acme/Lib', version: 'v1.0.0', sum: 'h1:x=' },
      { path: 'example.com/none', version: 'v1.0.0+incompatible' },
    ];
    const components = componentsOf([{ path, info: { ...info, modules } }], cache);
    expect(components.map(({ purl, licence }) => [purl, licence])).toEqual([
      ['pkg:golang/example.com/Acme/Lib@v1.0.0', 'Apache-2.0'],
      [expect.stringMatching(/^pkg:golang\/example.com\/app/), undefined],
      ['pkg:golang/example.com/none@v1.0.0%2Bincompatible', undefined],
      [expect.stringMatching(/^pkg:golang\/stdlib@1\./), 'BSD-3-Clause'],
    ]);
  });

  it.each([
    ['MIT', 'MIT License\n\nPermission is hereby granted, free of charge, to any person\nobtaining a copy'],
    ['BSD-3-Clause', 'Redistribution and use in source and binary forms, with or\n... * Neither the name of'],
    ['BSD-2-Clause', 'Redistribution and use in source and binary forms, with or without'],
    ['GPL-3.0', 'GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007'],
    ['LGPL-3.0', 'GNU LESSER GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007'],
    [undefined, 'All rights reserved.'],
  ])('knows the text of %s', (id, text) => {
    expect(licenceOf(text)).toBe(id);
  });

  it('is the same for the same image, and names it', () => {
    const digest = `sha256:${'ab'.repeat(32)}`;
    const { programs } = made;
    const subject = {
      name: 'acme/hello',
      digest,
      platform: 'linux/amd64',
      programs,
      components: componentsOf(programs, undefined),
      createdSeconds: 0,
    };
    for (const write of [cycloneDx, spdx]) expect(write(subject)).toEqual(write({ ...subject }));
    const bom = JSON.parse(cycloneDx(subject).toString());
    expect(bom).toMatchObject({
      bomFormat: 'CycloneDX',
      specVersion: '1.5',
      serialNumber: expect.stringMatching(
        /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      ),
      metadata: { timestamp: '1970-01-01T00:00:00Z', component: { purl: `pkg:oci/hello@sha256%3A${'ab'.repeat(32)}` } },
    });
    expect(bom.dependencies[0].dependsOn).toEqual(bom.components.map((one: { 'bom-ref': string }) => one['bom-ref']));
    const document = JSON.parse(spdx(subject).toString());
    expect(document.packages).toHaveLength(bom.components.length + 1);
    expect(document.relationships).toHaveLength(document.packages.length);
  });

  it('says where it came from', () => {
    const statement = (env: NodeJS.ProcessEnv) =>
      JSON.parse(
        provenance({
          name: 'ghcr.io/acme/hello',
          digest: `sha256:${'ab'.repeat(32)}`,
          project: 'hello',
          target: 'image',
          platforms: ['linux/amd64'],
          source: 'https://github.com/acme/mono',
          commit: 'c0ffee',
          isModified: false,
          bases: { 'alpine:3': `sha256:${'cd'.repeat(32)}` },
          env,
        }).toString(),
      );
    expect(statement({})).toMatchObject({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ name: 'ghcr.io/acme/hello', digest: { sha256: 'ab'.repeat(32) } }],
      predicateType: 'https://slsa.dev/provenance/v1',
      predicate: {
        buildDefinition: {
          resolvedDependencies: [
            { uri: 'git+https://github.com/acme/mono', digest: { gitCommit: 'c0ffee' } },
            { name: 'alpine:3', digest: { sha256: 'cd'.repeat(32) } },
          ],
        },
        runDetails: { builder: { id: expect.stringContaining('local') } },
      },
    });
    const actions = {
      GITHUB_ACTIONS: 'true',
      GITHUB_SERVER_URL: 'https://github.com',
      GITHUB_REPOSITORY: 'acme/mono',
      GITHUB_WORKFLOW_REF: 'acme/mono/.github/workflows/ci.yml@refs/heads/main',
      GITHUB_RUN_ID: '7',
    };
    expect(statement(actions).predicate.runDetails).toEqual({
      builder: { id: 'https://github.com/acme/mono/.github/workflows/ci.yml@refs/heads/main' },
      metadata: { invocationId: 'https://github.com/acme/mono/actions/runs/7/attempts/1' },
    });
  });
});
