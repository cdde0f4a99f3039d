import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import Docker from 'dockerode';
import { describeWithEngine, engineHost } from '../e2e/support/engine';
import { SlimGoError } from '../errors';
import { hostContainerPlatform } from '../platform';
import { openContext } from './context';
import { type BaseImages, baseKey, type PlanOptions, planDockerfile } from './dockerfile/plan';
import { buildEmbedded } from './embedded';
import { filesOfEngine, outcomeOfEngine, outcomeOfImage } from './embedded-compare.testdata';
import { corpus, type DockerfileCase, modernCorpus, refused, writeContext } from './embedded-corpus.testdata';
import { modernOutcomes } from './embedded-modern.testdata';
import { randomDockerfile } from './embedded-random.testdata';
import { normaliseSavedImage } from './normalise';

// Not in beforeAll: Jest starts concurrent tests before it.
const context = mkdtempSync(join(tmpdir(), 'slim-go-context-'));
const scratch = mkdtempSync(join(tmpdir(), 'slim-go-dockerfiles-'));
writeContext(context);
afterAll(() => {
  for (const folder of [context, scratch]) rmSync(folder, { recursive: true });
});

let count = 0;
/** The Dockerfile lies outside of the context, so that all cases share one. */
function writeCase(item: DockerfileCase): {
  dockerfile: string;
  context: string;
  buildArgs?: Record<string, string>;
  target?: string;
} {
  const dockerfile = join(scratch, `Dockerfile.${count++}`);
  writeFileSync(dockerfile, item.dockerfile);
  if (item.ignore !== undefined) writeFileSync(`${dockerfile}.dockerignore`, item.ignore);
  return {
    dockerfile,
    context,
    ...(item.buildArgs && { buildArgs: { ...item.buildArgs } }),
    ...(item.target && { target: item.target }),
  };
}

/** Plans and builds for this host's containers. `file` is what errors call the Dockerfile. */
async function build({
  dockerfile,
  context: folder,
  file = dockerfile,
  ...options
}: Pick<PlanOptions, 'buildArgs' | 'target' | 'labels' | 'baseImages'> & {
  dockerfile: string;
  context: string;
  file?: string;
}) {
  const text = readFileSync(dockerfile, 'utf8');
  const plan = planDockerfile({ ...options, text, file, platform: hostContainerPlatform() });
  return buildEmbedded(plan, openContext(folder, dockerfile), options.baseImages);
}

async function embedded(item: DockerfileCase) {
  return outcomeOfImage(await build(writeCase(item)));
}

describeWithEngine('the embedded engine, beside a container engine', () => {
  const docker = new Docker({ socketPath: engineHost?.replace('unix://', '') });
  const prefix = `slim-go-differential-${process.pid}`;
  const tags: string[] = [];
  afterAll(async () => {
    for (const tag of tags)
      await docker
        .getImage(tag)
        .remove({ force: true })
        .catch(() => undefined);
  });
  const engine = (item: DockerfileCase) => {
    const tag = `${prefix}:${tags.length}`;
    tags.push(tag);
    return outcomeOfEngine(docker, tag, { ...writeCase(item), version: '2' });
  };

  it.concurrent.each(corpus.map((item) => [item.name, item] as const))('gives the same image: %s', async (_, item) => {
    const expected = await engine(item);
    expect(await embedded(item)).toEqual(expected);
  });

  it.concurrent.each(refused.map((item) => [item.name, item] as const))('both refuse: %s', async (_, item) => {
    await expect(engine(item)).rejects.toThrow();
    await expect(embedded(item)).rejects.toThrow(expect.objectContaining({ name: 'SlimGoError' }));
  });

  // SLIM_GO_TEST_SEED repeats a failure, SLIM_GO_TEST_RANDOM makes more of them.
  const firstSeed = Number(process.env.SLIM_GO_TEST_SEED ?? Date.now() % 1_000_000);
  const randomCount = Number(process.env.SLIM_GO_TEST_RANDOM ?? 12);
  const seeds = Array.from({ length: randomCount }, (_, index) => firstSeed + index);
  let built = 0;

  it.concurrent.each(seeds)('agrees about the random Dockerfile with seed %i', async (seed) => {
    const item = randomDockerfile(seed);
    const [theirs, ours] = await Promise.allSettled([engine(item), embedded(item)]);
    const about = { seed, dockerfile: item.dockerfile };
    // What Docker's versions do differently is left to the engine, with that reason.
    if (ours.status === 'rejected' && /versions of Docker/.test(ours.reason.message)) return;
    if (theirs.status === 'fulfilled') {
      built++;
      expect({ ...about, ...ours }).toEqual({ ...about, ...theirs });
    } else {
      expect({ ...about, theirs, status: ours.status }).toEqual({ ...about, theirs, status: 'rejected' });
      expect((ours as PromiseRejectedResult).reason).toBeInstanceOf(SlimGoError);
    }
  });

  describe('on base images', () => {
    const base = `${prefix}-base:1`;
    let images: BaseImages;

    // An image with what matters to those who stand on it: owners, links, names, a sticky folder, a hard link, a setuid bit.
    beforeAll(async () => {
      const root = mkdtempSync(join(tmpdir(), 'slim-go-base-'));
      const script = [
        'mkdir -p usr/bin etc home/web srv/data tmp && ln -s usr/bin bin && ln -s /srv/data data && chmod 1777 tmp',
        'printf tool > usr/bin/tool && chmod 4755 usr/bin/tool && ln usr/bin/tool usr/bin/second && ln -s tool usr/bin/third',
        'printf "root:x:0:0::/:/\\nweb:x:1000:1001::/home/web:/\\n" > etc/passwd && printf "root:x:0:\\nstaff:x:50:\\n" > etc/group',
        'printf old > srv/data/old && chown -R 1000:1001 home/web && chmod 700 home/web',
      ];
      execFileSync('sh', ['-ec', script.join('\n')], { cwd: root });
      const archive = `${root}.tar`;
      execFileSync('tar', ['-cf', archive, '-C', root, '.']);
      const changes = [
        'ENV PATH=/usr/bin',
        'ENV GREETING=hello',
        'WORKDIR /srv',
        'USER web',
        'LABEL of=base',
        'EXPOSE 80',
      ];
      const cli = (...args: string[]) =>
        execFileSync('docker', args, {
          env: { ...process.env, DOCKER_HOST: engineHost },
          maxBuffer: 1e9,
          stdio: 'pipe',
        });
      cli('import', ...[...changes, 'CMD ["tool"]'].flatMap((change) => ['--change', change]), archive, base);
      tags.push(base);
      const folder = mkdtempSync(join(scratch, 'saved-'));
      const platform = hostContainerPlatform();
      const image = await normaliseSavedImage({ saved: Readable.from([cli('save', base)]), platform, folder });
      images = new Map([[baseKey({ reference: base, platform, line: 0 }), image]]);
      rmSync(root, { recursive: true });
      rmSync(archive);
    });

    it.each([
      ['nothing more', ''],
      [
        'files over it, through links',
        'COPY a.txt /bin/\nCOPY a.txt /data/old\nCOPY dir/ /data/\nCOPY b.txt /tmp/x/\n',
      ],
      ['its variables, folder and user', 'COPY a.txt $GREETING/\nENV PATH=$PATH:/more\nWORKDIR deeper\nCOPY b.txt .\n'],
      ['its names', 'COPY --chown=web:staff a.txt /home/web/\nCOPY --chown=web a.txt .\nUSER root\nWORKDIR /new\n'],
      ['another ENTRYPOINT, which takes its CMD away', 'ENTRYPOINT ["/usr/bin/tool"]\n'],
      ['another CMD', 'CMD ["second"]\nLABEL more=1\nEXPOSE 81\nENV GREETING=bye\n'],
      ['a copy of it', `FROM scratch\nCOPY --from=${base} / /\n`],
      [
        'parts of it',
        `FROM scratch\nCOPY --from=${base} /bin/t* /usr/bin/second /data /out/\nCOPY --from=${base} /home /home\n`,
      ],
      [
        'a stage on it',
        `AS one\nCOPY a.txt .\nFROM one AS two\nCOPY b.txt .\nFROM ${base}\nCOPY --from=two /srv /srv\n`,
      ],
      ['a file in the place of a folder', 'COPY a.txt /srv/data/old/x\n'],
    ])('gives the same image: %s', async (_, rest) => {
      const item = { name: '', dockerfile: `FROM ${base} ${/^(AS|$)/.test(rest) ? '' : '\n'}${rest}` };
      const [theirs, ours] = await Promise.allSettled([
        engine(item),
        build({ ...writeCase(item), baseImages: images }).then(outcomeOfImage),
      ]);
      if (theirs.status === 'rejected') expect(ours.status).toBe('rejected');
      else expect(ours).toEqual(theirs);
    });
  });

  it('built most of the random Dockerfiles rather than refusing them', () => {
    expect(built / randomCount).toBeGreaterThan(0.4);
  });

  it('agrees with the classic builder and its client about .dockerignore', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'slim-go-ignore-'));
    try {
      writeContext(folder);
      // The classic client drops setuid bits, BuildKit keeps them.
      rmSync(join(folder, 'suid'));
      writeFileSync(join(folder, 'Dockerfile'), 'FROM scratch\nCOPY . /\n');
      // Not here: exceptions with wildcards inside ignored folders, which the classic client overlooks and BuildKit finds.
      const ignores = [
        '*\n!dir\n',
        'dir\n!dir/sub/deep\n',
        '# c\n/*.txt \n!a.txt\ndir/*/t*\nDockerfile\n',
        '**/t*\n!**/three.txt\n[a-b].txt\n',
      ];
      for (const ignore of ignores) {
        writeFileSync(join(folder, '.dockerignore'), ignore);
        const tag = `${prefix}:${tags.length}`;
        tags.push(tag);
        execFileSync('docker', ['build', '--quiet', '--tag', tag, folder], {
          env: { ...process.env, DOCKER_BUILDKIT: '0', DOCKER_HOST: engineHost },
          stdio: 'pipe',
        });
        const expected = await filesOfEngine(docker, tag);
        const image = await build({ dockerfile: join(folder, 'Dockerfile'), context: folder });
        expect({ ignore, files: (await outcomeOfImage(image)).files }).toEqual({ ignore, files: expected });
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('the embedded engine', () => {
  it.each(modernCorpus)('gives what BuildKit 0.25 gave: $name', async (item) => {
    expect(await embedded(item)).toEqual(modernOutcomes[item.name]);
  });

  const refusal = async (dockerfile: string, ignore?: string): Promise<SlimGoError> => {
    const item = { name: '', dockerfile, ...(ignore === undefined ? {} : { ignore }) };
    const error: unknown = await build({ ...writeCase(item), file: 'apps/hello/Dockerfile' }).catch((reason) => reason);
    expect(error).toBeInstanceOf(SlimGoError);
    return error as SlimGoError;
  };

  it.each([
    ['RUN', 'FROM scratch\nRUN true\n', 'apps/hello/Dockerfile:2: RUN needs a container engine.'],
    [
      'ADD of a URL',
      'FROM scratch\nADD https://example.com/x /\n',
      'apps/hello/Dockerfile:2: ADD https://example.com/x needs',
    ],
    ['--parents', 'FROM scratch\nCOPY --parents dir /\n', 'apps/hello/Dockerfile:2: COPY --parents needs'],
    ['a symbolic mode', 'FROM scratch\nCOPY --chmod=u+x a.txt /\n', 'apps/hello/Dockerfile:2: --chmod=u+x needs'],
    ['setuid by --chmod', 'FROM scratch\nCOPY --chmod=4755 a.txt /\n', 'apps/hello/Dockerfile:2: --chmod=4755 needs'],
    [
      'another language',
      '# syntax=acme/frontend\nFROM scratch\n',
      'apps/hello/Dockerfile:1: the frontend acme/frontend',
    ],
    [
      'ONBUILD of a stage',
      'FROM scratch AS a\nONBUILD COPY a.txt /\nFROM a\n',
      'apps/hello/Dockerfile:3: FROM a triggers',
    ],
    [
      '--chmod that makes folders',
      'FROM scratch\nCOPY --chmod=644 a.txt /etc/x/\n',
      'apps/hello/Dockerfile:2: --chmod=0644 together',
    ],
    [
      'ADD --chown of an archive',
      'FROM scratch\nADD --chown=1 plain.tar /\n',
      'apps/hello/Dockerfile:2: ADD --chown of an archive',
    ],
  ])('leaves to a container engine: %s', async (_, dockerfile, message) => {
    const error = await refusal(dockerfile);
    expect(error.code).toBe('DOCKERFILE_NEEDS_ENGINE');
    expect(error.message).toContain(message);
    expect(error.hint).toBeTruthy();
  });

  it('suggests near names for a source that is not there', async () => {
    const error = await refusal('FROM scratch\n\nCOPY dir/tow.md /\n');
    expect(error.code).toBe('COPY_FAILED');
    expect(error.message).toBe(
      'apps/hello/Dockerfile:3: COPY dir/tow.md: there is no "dir/tow.md" in the build context.',
    );
    expect(error.hint).toContain('dir/two.md');
  });

  it('says which line of .dockerignore hides a source', async () => {
    const error = await refusal('FROM scratch\nCOPY dir/one.txt /\n', '# nothing\n**/*.txt\n');
    expect(error.code).toBe('COPY_FAILED');
    expect(error.message).toMatch(/COPY dir\/one.txt: it exists, but .*\.dockerignore:2 hides it \("\*\*\/\*\.txt"\)/);
  });

  it('finds exceptions with wildcards inside ignored folders, as BuildKit 0.25 does', async () => {
    const outcome = await embedded({ name: '', dockerfile: 'FROM scratch\nCOPY . /\n', ignore: '**\n!**/*.txt\n' });
    expect(Object.keys(outcome.files)).toEqual([
      'a.txt',
      'b.txt',
      'c d.txt',
      'dir',
      'dir/one.txt',
      'dir/sub',
      'dir/sub/deep',
      'dir/sub/deep/four.txt',
      'dir/sub/three.txt',
      'x[1].txt',
    ]);
  });

  it('refuses to leave the context, by name and by link', async () => {
    expect((await refusal('FROM scratch\nCOPY ../x /\n')).message).toContain(
      '"../x" lies outside of the build context',
    );
    const error = await refusal('FROM scratch\nCOPY dir/link-dangling /\n');
    expect(error.code).toBe('CONTEXT_INVALID');
    expect(error.message).toContain('dir/link-dangling is a link to /nowhere');
  });

  it('refuses a name for --chown that the image does not know', async () => {
    expect((await refusal('FROM scratch\nCOPY --chown=web a.txt /\n')).message).toContain(
      '/etc/passwd does not know "web"',
    );
  });

  it('says that the Dockerfile is empty', async () => {
    expect((await refusal('# only a comment\n')).message).toContain('is empty');
  });

  it('refers to files instead of reading them, and makes a layer only where there are files', async () => {
    const item = { name: '', dockerfile: 'FROM scratch\nCOPY hello /bin/hello\nWORKDIR /bin\nENV A=1\n' };
    const image = await build({ ...writeCase(item), labels: { l: '1' } });
    expect(image.layers).toEqual([
      {
        entries: [
          { path: 'bin', type: 'directory', mode: 0o755, uid: 0, gid: 0 },
          {
            path: 'bin/hello',
            type: 'file',
            mode: 0o755,
            uid: 0,
            gid: 0,
            content: { path: join(context, 'hello'), offsetBytes: 0, sizeBytes: 6 },
          },
        ],
      },
    ]);
    expect(image.history).toEqual([
      { created_by: 'COPY hello /bin/hello' },
      { created_by: 'WORKDIR /bin', empty_layer: true },
      { created_by: 'ENV A=1', empty_layer: true },
    ]);
    expect(image.config.Labels).toEqual({ l: '1' });
  });
});
