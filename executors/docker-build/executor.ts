import { homedir } from 'node:os';
import { relative } from 'node:path';
import type { ExecutorContext } from '@nx/devkit';
import { connectEngine, type Engine, findEngine } from '../../docker/engine';
import { ensureLoaded, type LoadResult } from '../../docker/load';
import { readRecord } from '../../image/record-file';
import { currentProject, imageFiles } from '../project';
import { repositoryOf, tagReferences } from '../references';
import { formatDuration, runExecutor } from '../report';
import type { DockerBuildOptions } from './schema';

/** What docker-build tells of each outcome, as the middle of its one line. */
const outcomes: Readonly<Record<LoadResult['outcome'], string>> = {
  present: 'already there',
  retagged: 're-tagged',
  loaded: 'loaded',
};

/**
 * Leaves the container engine with exactly the image of the `image` target under its tags.
 * https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image
 */
export default function dockerBuild(
  { load, tags }: Required<DockerBuildOptions>,
  context: ExecutorContext,
): Promise<{ success: boolean }> {
  return runExecutor(async (signal) => {
    const started = performance.now();
    const files = imageFiles(currentProject(context));
    const record = await readRecord(files.record, files.archive);
    const repository = repositoryOf(record.references[0] ?? '');
    const references = [...new Set([...record.references, ...tagReferences(repository, tags)])];

    const engine = load === false ? undefined : await askForEngine(load === true);
    if (engine === undefined) {
      const archive = relative(process.cwd(), files.archive);
      const why = load === false ? '' : 'No container engine answers: ';
      console.log(`${why}not loaded. The image is in ${archive}; load it with: docker load -i ${archive}`);
      return { success: true };
    }
    const result = await ensureLoaded(engine, { record, archivePath: files.archive, references, signal });
    const duration = formatDuration(performance.now() - started);
    console.log(
      `${references.join(', ')}: ${outcomes[result.outcome]} (${result.platform}, ${result.imageId.slice(0, 19)}, ${duration})`,
    );
    return { success: true };
  });
}

function askForEngine(isRequired: boolean): Promise<Engine | undefined> {
  const surroundings = { env: process.env, home: homedir(), platform: process.platform };
  return isRequired ? connectEngine(surroundings) : findEngine(surroundings);
}
