import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Docker from 'dockerode';
import { describeWithEngine, engineHost } from '../e2e/support/engine';
import { hostContainerPlatform } from '../platform';
import { buildEmbedded } from './embedded';
import { outcomeOfEngine, outcomeOfImage } from './embedded-compare.testdata';
import { corpus, type DockerfileCase, refused, writeContext } from './embedded-corpus.testdata';

let context: string;
let scratch: string;

beforeAll(() => {
  context = mkdtempSync(join(tmpdir(), 'slim-go-context-'));
  scratch = mkdtempSync(join(tmpdir(), 'slim-go-dockerfiles-'));
  writeContext(context);
});
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

async function embedded(item: DockerfileCase) {
  return outcomeOfImage(await buildEmbedded({ ...writeCase(item), platform: hostContainerPlatform() }));
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

  it.each(corpus.map((item) => [item.name, item] as const))('gives the same image: %s', async (_, item) => {
    const expected = await engine(item);
    expect(await embedded(item)).toEqual(expected);
  });

  it.each(refused.map((item) => [item.name, item] as const))('both refuse: %s', async (_, item) => {
    await expect(engine(item)).rejects.toThrow();
    await expect(embedded(item)).rejects.toThrow(expect.objectContaining({ name: 'SlimGoError' }));
  });
});
