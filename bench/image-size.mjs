/** How much larger than its stripped binary an image is. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { table } from './samples.mjs';

export function imageSizes(workspace) {
  const rows = Object.entries(workspace.apps).map(([name, app]) => {
    workspace.nx('run', `${app}:image`);
    const [record] = workspace.record(name).platforms;
    const folder = workspace.path(app, 'dist', ...record.platform.split('/'));
    const binary = statSync(join(folder, readdirSync(folder)[0])).size;
    const archive = statSync(workspace.path(app, 'dist', 'image', 'image.tar')).size;
    const over = (bytes) => `${bytes} (+${bytes - binary})`;
    return [
      name,
      String(binary),
      over(record.sizeBytes),
      over(archive),
      record.sizeBytes - binary <= 4096 ? 'yes' : 'no',
    ];
  });
  return table(['bytes', 'stripped binary', 'image', 'image.tar', 'image within 4096 of the binary'], rows);
}
