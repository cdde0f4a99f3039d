import { type GeneratorCallback, runTasksInSerial, type Tree } from '@nx/devkit';
import app from '../app/generator';
import init from '../init/generator';
import type { PresetOptions } from './schema';

/** Options after Nx has filled in the defaults of schema.json. */
type Options = PresetOptions & Required<Pick<PresetOptions, 'app' | 'template' | 'layout'>>;

/** `create-nx-workspace --preset=slim-go`: `init`, then `app`. @throws NAME_INVALID */
export default async function preset(tree: Tree, options: Options): Promise<GeneratorCallback> {
  const { layout, module, template } = options;
  const initialised = await init(tree, { layout, ...(module === undefined ? {} : { module }), skipFormat: true });
  const created = await app(tree, {
    directory: `apps/${options.app}`,
    template,
    base: 'scratch',
    dockerfile: 'prebuilt',
    port: 8080,
    certs: false,
    tzdata: false,
    skipFormat: false,
  });
  return runTasksInSerial(initialised, created);
}
