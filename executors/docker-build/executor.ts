import { homedir } from 'node:os';
import { relative } from 'node:path';
import { connectEngine, type Engine, findEngine } from '../../docker/engine';
import { ensureAllLoaded, type LoadRequest, type LoadResult } from '../../docker/load';
import { mergeArchives } from '../../image/merged-archive';
import { readRecord } from '../../image/record-file';
import { inParallel } from '../../parallel';
import { currentProject, imageFiles } from '../project';
import { repositoryOf, tagReferences } from '../references';
import { formatDuration } from '../report';
import { batchExecutorOf, executorOf, type Task, type Work } from '../task';
import type { DockerBuildOptions } from './schema';

type Options = Required<DockerBuildOptions>;

/** What docker-build tells of each outcome, as the middle of its one line. */
const outcomes: Readonly<Record<LoadResult['outcome'], string>> = {
  present: 'already there',
  retagged: 're-tagged',
  loaded: 'loaded',
};

/** Leaves the container engine with exactly the images of the `image` targets under their tags. */
const load: Work<Options> = async (tasks, signal, done) => {
  const engines = new Engines();
  const requests = new Map<Engine, (LoadRequest & { readonly task: Task<Options>; readonly started: number })[]>();
  await inParallel(tasks, 8, async (task) => {
    const started = performance.now();
    try {
      const { options, context, env } = task;
      const { record: file, archive: archivePath } = imageFiles(currentProject(context));
      const record = await readRecord(file, archivePath);
      const engine = options.load === false ? undefined : await engines.find(env, options.load === true);
      if (engine === undefined) {
        const archive = relative(process.cwd(), archivePath);
        const why = options.load === false ? '' : 'No container engine answers: ';
        task.print(`${why}not loaded. The image is in ${archive}; load it with: docker load -i ${archive}\n`);
        return done(task);
      }
      const repository = repositoryOf(record.references[0] ?? '');
      const references = [...new Set([...record.references, ...tagReferences(repository, options.tags)])];
      const own = requests.get(engine) ?? [];
      requests.set(engine, own);
      own.push({ record, archivePath, references, signal, task, started });
    } catch (error) {
      done(task, error);
    }
  });
  for (const [engine, own] of requests) {
    await ensureAllLoaded(engine, own, mergeArchives, ({ task, references, started }, result, error) => {
      if (result) {
        const { outcome, platform, imageId } = result;
        const duration = formatDuration(performance.now() - started);
        const what = `${outcomes[outcome]} (${platform}, ${imageId.slice(0, 19)}, ${duration})`;
        task.print(`${references.join(', ')}: ${what}\n`);
      }
      done(task, error);
    });
  }
};

/** `slim-go:docker-build` */
export default executorOf(load);

/** `slim-go:docker-build` of many projects in one process. */
export const batch = batchExecutorOf(load);

/** Each engine is looked for once, however many tasks mean it. */
class Engines {
  private readonly found = new Map<string, Promise<Engine | undefined>>();

  find(env: NodeJS.ProcessEnv, isRequired: boolean): Promise<Engine | undefined> {
    const key = JSON.stringify([isRequired, env]);
    const surroundings = { env, home: homedir(), platform: process.platform };
    const engine = this.found.get(key) ?? (isRequired ? connectEngine(surroundings) : findEngine(surroundings));
    this.found.set(key, engine);
    return engine;
  }
}
